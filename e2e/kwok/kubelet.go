package kwok

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"
)

// annotationLog holds what a pod's containers print: a template over the variables that they get from Secrets through
// envFrom, such as "cannot log in with {{.PASSWORD}}". It may use the functions of text/template, base64 and json.
const annotationLog = "kwok.berth.dev/log"

// A kubelet serves the logs of containers to the API server, and so to kubectl logs. KWOK's own server needs prepared
// files, and does not know what a pod gets from Secrets.
type kubelet struct{ client kubernetes.Interface }

// serveLogs serves until ctx is done, and writes its port into the status of the node.
func serveLogs(ctx context.Context, client kubernetes.Interface) error {
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	patch := fmt.Sprintf(`{"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":%d}}}}`, port)
	_, err = client.CoreV1().Nodes().Patch(ctx, NodeName, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		return errors.Join(fmt.Errorf("cannot tell where logs are served: %w", err), listener.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", (&kubelet{client: client}).serveLog)
	server := &http.Server{
		Handler:   mux,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
		ErrorLog:  log.New(io.Discard, "", 0), // clients that hang up
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return nil
}

// serveLog answers as the kubelet does. The log of a running container never changes, so there is nothing to follow.
func (k *kubelet) serveLog(w http.ResponseWriter, r *http.Request) {
	pod, err := k.client.CoreV1().Pods(r.PathValue("namespace")).Get(r.Context(), r.PathValue("pod"), metav1.GetOptions{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	query := r.URL.Query()
	if err := hasRun(pod, r.PathValue("container"), query.Get("previous")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, err := k.log(r.Context(), pod, r.PathValue("container"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if n, err := strconv.Atoi(query.Get("tailLines")); err == nil {
		lines := strings.SplitAfter(text, "\n")
		text = strings.Join(lines[max(0, len(lines)-1-n):], "")
	}
	if n, err := strconv.Atoi(query.Get("limitBytes")); err == nil {
		text = text[:min(n, len(text))]
	}
	_, _ = io.WriteString(w, text)
}

// hasRun returns why a container has no log yet, in the kubelet's words. If previous is "true", it is about the log of
// the run before.
func hasRun(pod *corev1.Pod, container, previous string) error {
	statuses := append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...)
	for _, s := range statuses {
		switch {
		case s.Name != container:
		case s.LastTerminationState.Terminated != nil:
			return nil
		case previous == "true":
			return fmt.Errorf("previous terminated container %q in pod %q not found", container, pod.Name)
		case s.State.Waiting != nil:
			return fmt.Errorf("container %q in pod %q is waiting to start: %s", container, pod.Name, s.State.Waiting.Reason)
		default:
			return nil
		}
	}
	return fmt.Errorf("container %q in pod %q is not available", container, pod.Name)
}

// log returns the output of a container, in whole lines.
func (k *kubelet) log(ctx context.Context, pod *corev1.Pod, container string) (string, error) {
	parsed, err := template.New(annotationLog).Funcs(template.FuncMap{
		"base64": func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) },
		"json":   func(text string) (string, error) { quoted, err := json.Marshal(text); return string(quoted), err },
	}).Parse(pod.Annotations[annotationLog])
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		if c.Name != container {
			continue
		}
		variables, err := k.variables(ctx, pod.Namespace, c)
		if err != nil {
			return "", err
		}
		if err := parsed.Execute(&text, variables); err != nil {
			return "", err
		}
	}
	if text.Len() > 0 && !strings.HasSuffix(text.String(), "\n") {
		text.WriteByte('\n')
	}
	return text.String(), nil
}

// variables returns the variables that a container gets from Secrets through envFrom.
func (k *kubelet) variables(ctx context.Context, namespace string, c corev1.Container) (map[string]string, error) {
	variables := map[string]string{}
	for _, from := range c.EnvFrom {
		if from.SecretRef == nil {
			continue
		}
		secret, err := k.client.CoreV1().Secrets(namespace).Get(ctx, from.SecretRef.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		for name, value := range secret.Data {
			variables[from.Prefix+name] = string(value)
		}
	}
	return variables, nil
}

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
)

// The branches of the clusters that hang, and of all others. Pushes to the first reach the former.
const (
	hungBranch = iota
	calmBranch
	farBranches
)

// clusters measures webhooks at home while the agent also works in other clusters, and while some of these hang. The others are
// one control plane behind many addresses, at which it says that it is many: only the UID of kube-system differs.
func (b *bench) clusters() []figure {
	t := b.stand()
	plane, err := clustertest.Run(b.t.Context(), clustertest.Config{Audit: true})
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	defer plane.Stop()
	there, doors := b.open(plane)
	far := b.followAll(doors)
	defer func() {
		for _, d := range doors {
			d.server.Close()
		}
	}()
	b.rest(b.settle)
	idle, err := there.Watch(b.t.Context(), b.idle, b.server)
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	if len(idle.API) > 0 {
		b.t.Logf("the agent asked other clusters while nothing happened:\n%s", idle)
	}
	calm := b.reactions(t, far)
	for _, d := range doors[:b.hung()] {
		d.hangs.Store(true)
	}
	troubled := b.reactions(t, far)
	for _, d := range doors {
		d.hangs.Store(false)
	}
	name := fmt.Sprintf("webhook to the first write at home, with %d other clusters", b.farClusters)
	return []figure{
		{Name: fmt.Sprintf("requests to %d idle clusters in %s", b.farClusters, b.idle), Value: float64(len(idle.API)), Budget: none},
		of(fmt.Sprintf("%s, while %d of them sync", name, b.hung()), "ms", each(calm, milliseconds)),
		of(fmt.Sprintf("%s, while %d of them hang", name, b.hung()), "ms", each(troubled, milliseconds)).within(300),
	}
}

// hung returns how many of the other clusters hang.
func (b *bench) hung() int { return max(1, b.farClusters/4) }

// reactions measures pushes at home, each of which follows a push to the clusters that may hang.
func (b *bench) reactions(t, far *team) (took []time.Duration) {
	for i := range b.samples {
		b.push(hungBranch, fmt.Sprint("far ", i, time.Now()))
		b.deliver(far.name)
		number := farBranches + i%max(1, b.branches-farBranches)
		b.push(number, fmt.Sprint("home ", i, time.Now()))
		took = append(took, b.reaction(t, place{git: b.git, branch: branch(number), namespace: t.name + "-" + branch(number)}))
	}
	return took
}

// followAll makes the agent run a branch in each cluster, and waits until all of them are healthy.
func (b *bench) followAll(doors []*door) *team {
	far := b.follow("far", func(spec *v1alpha1.RepositorySpec) {
		entry := spec.Environments[0]
		spec.Environments = nil
		for i, d := range doors {
			follows := calmBranch
			if i < b.hung() {
				follows = hungBranch
			}
			entry.Name, entry.Namespace, entry.Branches = d.name, d.name, []v1alpha1.BranchPattern{v1alpha1.BranchPattern(branch(follows))}
			entry.Cluster = &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: d.name}}
			spec.Environments = append(spec.Environments, entry)
		}
	})
	b.awaitAll(far, len(doors))
	return far
}

// door is one address of a control plane.
type door struct {
	name     string
	server   *http.Server
	identity string // that it shows
	hidden   string // that it has
	hangs    atomic.Bool
	proxy    *httputil.ReverseProxy
}

// open opens all addresses of a control plane on which Berth's rights are installed, and stores a kubeconfig for each.
func (b *bench) open(plane *clustertest.Cluster) (there *world.World, doors []*door) {
	there, err := world.New(b.t.Context(), world.Config{Cluster: plane, Dir: filepath.Join(b.dir, "far"), Binary: b.binary})
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	config, err := plane.ConfigFor(b.t.Context(), deploy.Namespace, deploy.ServiceAccount)
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	admin, err := dynamic.NewForConfig(plane.RESTConfig())
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	system, err := admin.Resource(namespaces).Get(b.t.Context(), "kube-system", metav1.GetOptions{})
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	certificate, authority, err := selfSigned()
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	for i := range b.farClusters {
		d := &door{name: fmt.Sprintf("c%02d", i), identity: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), hidden: string(system.GetUID())}
		address, err := d.serve(config, certificate)
		if err != nil {
			b.t.Fatalf("%v", err)
		}
		b.world.SetSecret(b.t, d.name, map[string]string{"value": kubeconfig(address, authority, config.BearerToken)})
		doors = append(doors, d)
	}
	return there, doors
}

func (d *door) serve(config *rest.Config, certificate tls.Certificate) (string, error) {
	there, err := url.Parse(config.Host)
	if err != nil {
		return "", err
	}
	plain := rest.AnonymousClientConfig(config) // each request has its own token
	transport, err := rest.TransportFor(plain)
	if err != nil {
		return "", err
	}
	d.proxy = &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(there) },
		Transport:      transport,
		FlushInterval:  -1,
		ModifyResponse: d.disguise,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	d.server = &http.Server{Handler: d, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go func() { _ = d.server.ServeTLS(listener, "", "") }()
	return "https://" + listener.Addr().String(), nil
}

// ServeHTTP passes a request on, unless the cluster hangs.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.hangs.Load() {
		<-r.Context().Done()
		return
	}
	d.proxy.ServeHTTP(w, r)
}

// disguise gives the cluster an identity of its own.
func (d *door) disguise(answer *http.Response) error {
	if answer.Request.URL.Path != "/api/v1/namespaces/kube-system" || answer.StatusCode != http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, []byte(d.hidden), []byte(d.identity)) // of the same length, as text also in protobuf
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Set("Content-Length", fmt.Sprint(len(text)))
	return nil
}

func kubeconfig(address string, authority []byte, token string) string {
	file := clientcmdapi.NewConfig()
	file.CurrentContext = "far"
	file.Contexts["far"] = &clientcmdapi.Context{Cluster: "far", AuthInfo: "berth"}
	file.Clusters["far"] = &clientcmdapi.Cluster{Server: address, CertificateAuthorityData: authority}
	file.AuthInfos["berth"] = &clientcmdapi.AuthInfo{Token: token}
	text, err := clientcmd.Write(*file)
	if err != nil {
		panic(err) // it holds nothing that cannot be written
	}
	return string(text)
}

// selfSigned returns a certificate for this machine, and as PEM.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

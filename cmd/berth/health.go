package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"

	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

func newHealth(s streams) *cobra.Command {
	file, repository, entry := "", "", ""
	c := &cobra.Command{
		Use:   "health -f FILE",
		Short: "Judge live objects from a file as the agent does; needs no cluster",
		Long: `Judge objects as the agent does, each by itself, and print a line for each: its health,
kind/name, and why if it is not Healthy. The objects must have a status, as kubectl get -o yaml
or -o json prints them.

Custom resources are judged by their conditions or, with --repository, by the entry's
health.expressions.

Exits with 0 if all are Healthy, with 1 if one is not.`,
		Example: `  kubectl get deploy,job -n posts -o yaml | berth health -f -
  kubectl get databases -n posts -o yaml | berth health -f - --repository repository.yaml --entry production`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usageError(c, "name the file: -f FILE, or -f - for what is piped in")
			}
			if entry != "" && repository == "" {
				return usageError(c, "--entry is an entry of the Repository: name its file with --repository FILE")
			}
			judges, err := judgesOf(s, repository, entry)
			if err != nil {
				return err
			}
			text, err := readFile(s, file)
			if err != nil {
				return err
			}
			objects, err := decode(text)
			if err != nil {
				return fmt.Errorf("cannot read %s: %w", inputName(file), err)
			}
			return judge(s.out, objects, judges)
		},
	}
	c.Flags().StringVarP(&file, "filename", "f", "", "file with objects as YAML or JSON, or - for the standard input")
	c.Flags().StringVar(&repository, "repository", "", "file with the Repository whose health.expressions judge custom resources")
	c.Flags().StringVar(&entry, "entry", "", "entry of the Repository; needed only if it has several")
	return c
}

// judgesOf reads the expressions of an entry. Without a Repository there are none.
func judgesOf(s streams, repository, entry string) (*health.Expressions, error) {
	if repository == "" {
		return nil, nil
	}
	chosen, err := entryNamed(s, repository, entry)
	if err != nil {
		return nil, err
	}
	judges, err := inspect.Judges(*chosen.entry)
	if err != nil {
		return nil, fmt.Errorf("%s: entry %s: %w", repository, chosen.entry.Name, err)
	}
	return judges, nil
}

// readFile reads a file, or the standard input.
func readFile(s streams, name string) ([]byte, error) {
	if name == "-" {
		text, err := io.ReadAll(s.in)
		if err != nil {
			return nil, fmt.Errorf("reading the standard input: %w", err)
		}
		return text, nil
	}
	return os.ReadFile(name)
}

// inputName returns the name of a file, or of the standard input, for messages.
func inputName(file string) string {
	if file == "-" {
		return "the standard input"
	}
	return file
}

// decode reads objects, and expands lists. Numbers have the types that they have in an object of the cluster: whole
// numbers are int64, which matters to health and CEL.
func decode(text []byte) ([]*unstructured.Unstructured, error) {
	if isTable(text) {
		return nil, errTable
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for n := 1; ; n++ {
		var document runtime.RawExtension
		err := decoder.Decode(&document)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		some, err := decodeDocument(document.Raw)
		if err != nil {
			return nil, fmt.Errorf("document %d %w", n, err)
		}
		objects = append(objects, some...)
	}
}

// errTable is the error for a table printed by kubectl.
var errTable = errors.New("this is a table, and a table has no status to judge; print whole objects: kubectl get -o yaml")

// tableHead matches the first line of a table printed by kubectl get.
var tableHead = regexp.MustCompile(`^(NAMESPACE +)?NAME +[A-Z]`)

func isTable(text []byte) bool { return tableHead.Match(bytes.TrimLeft(text, "\n")) }

// decodeDocument reads the object, or the list of objects, of one document. An empty document has none.
func decodeDocument(text []byte) ([]*unstructured.Unstructured, error) {
	if len(text) == 0 {
		return nil, nil // only comments
	}
	var content any
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	fields, ok := content.(map[string]any)
	switch {
	case content == nil:
		return nil, nil
	case !ok:
		return nil, errors.New("is no object of Kubernetes: it has no fields; print whole objects: kubectl get -o yaml")
	}
	object := &unstructured.Unstructured{Object: fields}
	switch {
	case len(fields) == 0:
		return nil, nil
	case object.GetKind() == "":
		return nil, errors.New("has no kind: it is no object of Kubernetes")
	case !object.IsList():
		return []*unstructured.Unstructured{object}, nil
	}
	list, err := object.ToList()
	if err != nil {
		return nil, fmt.Errorf("is no list of objects: %w", err)
	}
	objects := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		objects = append(objects, &list.Items[i])
	}
	return objects, nil
}

// judge prints a line for each object.
func judge(w io.Writer, objects []*unstructured.Unstructured, judges *health.Expressions) error {
	if len(objects) == 0 {
		return errors.New("there is no object to judge")
	}
	var rows [][]string
	var result error
	for _, object := range objects {
		h := judges.Of(object)
		if h.Status != health.Healthy {
			result = errUnhealthy
		}
		rows = append(rows, []string{string(h.Status), manifest.KeyOf(object).Short(), h.Message})
	}
	if err := output.NewTable(w).Write(rows...); err != nil {
		return err
	}
	return result
}

// Chartgen writes the Helm chart in deploy/chart from the manifests in deploy, so that both install the same objects.
// `go generate ./deploy` runs it. The chart is the manifests with the replacements in edits.go. The schema of the values,
// and templates that do not exist in the manifests, are written by hand in deploy/chart.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	log.SetFlags(0)
	if err := write("."); err != nil {
		log.Fatal("chartgen: ", err)
	}
}

// write generates the chart from the manifests in dir, which is deploy.
func write(dir string) error {
	for _, source := range sources {
		text, err := os.ReadFile(filepath.Join(dir, source.from))
		if err != nil {
			return err
		}
		template, err := source.template(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", source.from, err)
		}
		to := filepath.Join(dir, "chart", "templates", source.to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, []byte(template), 0o644); err != nil {
			return err
		}
	}
	if err := copyFiles(dir); err != nil {
		return err
	}
	return writeValues(dir)
}

// copyFiles copies the files that templates include.
func copyFiles(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "components", "monitoring", "dashboard.json"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "chart", "dashboard.json"), text, 0o644)
}

// source is a manifest file, and how it becomes a template.
type source struct {
	from, to string
	// when is the condition of the whole file, if it has one.
	when  string
	edits []edit
}

// edit replaces a line of a manifest.
type edit struct {
	// line is the whole line. A star at its end stands for any text.
	line string
	// block also replaces the lines below that are indented deeper.
	block bool
	with  string
}

const header = "{{- /* Generated from deploy/%s by deploy/chartgen. Do not edit. */}}\n"

func (s source) template(text string) (string, error) {
	text = strings.ReplaceAll(text, "{{", `{{ "{{" }}`) // templates of others, such as Prometheus
	for _, e := range s.edits {
		var err error
		if text, err = e.apply(text); err != nil {
			return "", err
		}
	}
	documents := strings.Split(text, "\n---\n")
	for i, document := range documents {
		documents[i] = general(document)
	}
	text = strings.TrimSuffix(strings.Join(documents, "\n---\n"), "\n") + "\n"
	if s.when != "" {
		text = "{{- if " + s.when + " }}\n" + strings.TrimPrefix(text, "---\n") + "{{- end }}\n"
	}
	return fmt.Sprintf(header, s.from) + text, nil
}

func (e edit) apply(text string) (string, error) {
	start, open := strings.CutSuffix(e.line, "*")
	pattern := `(?m)^` + regexp.QuoteMeta(start)
	if open {
		pattern += `.*`
	}
	pattern += `$\n`
	if e.block {
		indent := len(e.line) - len(strings.TrimLeft(e.line, " "))
		pattern += fmt.Sprintf(`(?:^(?: {%d}.*|)$\n)*`, indent+1)
	}
	found := regexp.MustCompile(pattern)
	if n := len(found.FindAllString(text, -1)); n != 1 {
		return "", fmt.Errorf("the line %q occurs %d times, want once: change the edit in deploy/chartgen/edits.go", e.line, n)
	}
	return found.ReplaceAllLiteralString(text, strings.TrimPrefix(e.with, "\n")), nil
}

var (
	kindOf   = regexp.MustCompile(`(?m)^kind: (\w+)$`)
	nameLine = regexp.MustCompile(`(?m)^(metadata:\n  name: [a-z-]+)$`)
)

// general replaces what depends on the release in every manifest: the namespace, the names of the bindings of an
// installation, and whether it has the objects that all installations share.
func general(document string) string {
	document = strings.ReplaceAll(document, "\n  namespace: berth\n", "\n  namespace: {{ .Release.Namespace }}\n")
	document = regexp.MustCompile(`\n  namespace: berth$`).ReplaceAllLiteralString(document, "\n  namespace: {{ .Release.Namespace }}")
	kind := ""
	if match := kindOf.FindStringSubmatch(document); match != nil {
		kind = match[1]
	}
	switch kind {
	case "ClusterRoleBinding":
		return nameLine.ReplaceAllString(document, `$1{{ include "berth.suffix" . }}`)
	case "ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
		return "{{- if .Values.shared.create }}\n" + strings.TrimSuffix(document, "\n") + "\n{{- end }}"
	}
	return document
}

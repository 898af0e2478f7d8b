package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// skeletons are the files of the chart that take defaults from the Deployment.
var (
	//go:embed values.yaml.tmpl
	valuesSkeleton string
	//go:embed Chart.yaml.tmpl
	chartSkeleton string
)

// defaults are what the Deployment says, and the chart's values therefore default to.
type defaults struct {
	appsv1.DeploymentSpec
	Repository, Version         string
	GoMemoryLimit, GitStoreSize string
}

func defaultsOf(text []byte) (defaults, error) {
	var object appsv1.Deployment
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		return defaults{}, err
	}
	d := defaults{DeploymentSpec: object.Spec}
	agent := object.Spec.Template.Spec.Containers[0]
	d.Repository, d.Version, _ = strings.Cut(agent.Image, ":")
	for _, env := range agent.Env {
		if env.Name == "GOMEMLIMIT" {
			d.GoMemoryLimit = env.Value
		}
	}
	for _, arg := range agent.Args {
		if size, ok := strings.CutPrefix(arg, "--git-store-bytes="); ok {
			d.GitStoreSize = size
		}
	}
	return d, nil
}

func writeValues(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "deployment.yaml"))
	if err != nil {
		return err
	}
	values, err := defaultsOf(text)
	if err != nil {
		return err
	}
	for name, skeleton := range map[string]string{"values.yaml": valuesSkeleton, "Chart.yaml": chartSkeleton} {
		parsed, err := template.New(name).Funcs(template.FuncMap{"nested": nested}).Parse(skeleton)
		if err != nil {
			return err
		}
		var out strings.Builder
		if err := parsed.Execute(&out, values); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "chart", name), []byte(out.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// nested returns a value as YAML below a key.
func nested(value any) (string, error) {
	text, err := yaml.Marshal(value)
	if err != nil {
		return "", err
	}
	return "  " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n  "), nil
}

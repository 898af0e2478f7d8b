package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// standIn is an image that every real node can pull. It replaces the example's own images, which do not exist in any
// registry.
const standIn = "nginxinc/nginx-unprivileged:1.29-alpine"

// standIns describe how the example's manifests run the stand-in. The tag of an image becomes a variable, so that each
// commit changes the same objects as with the example's own images.
var standIns = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`(?m)^( *)image: "registry\.example\.com/acme/(posts-\w+:\$\{TREE:\w+\})"$`),
		"${1}image: " + standIn + "\n${1}env:\n${1}- name: IMAGE\n${1}  value: \"${2}\""},
	{regexp.MustCompile(`image: postgres:.*`), "image: " + standIn},
	{regexp.MustCompile(`command: \[(php, console\.php, (migrate|publish)|sh, -euc)\]`), `command: ["true"]`},
	{regexp.MustCompile(`command: \[php, console\.php, work\]`), `command: [sh, -c, "trap exit TERM; while true; do sleep 60 & wait; done"]`},
	{regexp.MustCompile(`containerPort: 9000`), "containerPort: 8080"},
}

// useStandIns rewrites the manifests of a clone for a cluster that runs containers.
func useStandIns(dir string) error {
	return filepath.WalkDir(filepath.Join(dir, "infra"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(content)
		for _, s := range standIns {
			text = s.pattern.ReplaceAllString(text, s.text)
		}
		return os.WriteFile(path, []byte(text), 0o644)
	})
}

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A real node can run the rewritten example: no image or command in it needs one of the example's own images.
func TestStandInsReplaceWhateverNeedsTheExamplesImages(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "..", example))); err != nil {
		t.Fatal(err)
	}
	if err := useStandIns(dir); err != nil {
		t.Fatal(err)
	}
	image, trees := regexp.MustCompile(`(?m)^ *(?:- )?image: (.*)$`), 0
	err := filepath.WalkDir(filepath.Join(dir, "infra"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(content)
		for _, found := range image.FindAllStringSubmatch(text, -1) {
			if found[1] != standIn {
				t.Errorf("%s: the image is %s, want %s", path, found[1], standIn)
			}
		}
		for _, command := range []string{"[php,", "[sh, -euc]", "containerPort: 9000"} {
			if strings.Contains(text, command) {
				t.Errorf("%s still has %s", path, command)
			}
		}
		trees += strings.Count(text, "value: \"posts-")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if trees != 5 {
		t.Errorf("%d containers change with their folder, want 5", trees)
	}
}

func TestAKubeconfigThatCannotBeUsed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(empty, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "no such file",
		empty:                              "kubectl config use-context NAME",
	} {
		if _, err := openOwn(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

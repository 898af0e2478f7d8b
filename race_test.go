package berth_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSequentialPackages checks the packages that "make test" runs without the race detector: they must not become
// concurrent.
func TestSequentialPackages(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?m)^sequential := (.+)$`).FindSubmatch(makefile)
	if list == nil {
		t.Fatal("the Makefile lists no sequential packages")
	}
	for pkg := range strings.SplitSeq(string(list[1]), "|") {
		files, err := filepath.Glob(filepath.Join("reconciler", pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("the Makefile lists reconciler/%s, which has no files: %v", pkg, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			if why := concurrency(t, file); why != "" {
				t.Errorf("%s %s: remove reconciler/%s from the sequential packages in the Makefile", file, why, pkg)
			}
		}
	}
}

// concurrency returns what makes a file concurrent; empty for nothing.
func concurrency(t *testing.T, file string) (why string) {
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range tree.Imports {
		if slices.Contains([]string{`"sync"`, `"sync/atomic"`, `"golang.org/x/sync/errgroup"`, `"golang.org/x/sync/singleflight"`}, i.Path.Value) {
			why = "imports " + i.Path.Value
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		if _, ok := n.(*ast.GoStmt); ok {
			why = "starts a goroutine"
		}
		return true
	})
	return why
}

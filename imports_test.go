package berth_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "berth.dev/berth"

// anything, and a path that ends in "/...", stand for a folder and everything below it.
const anything = "..."

// arrows lists which of our packages each package may import, and which its tests may import in addition. A new
// package must first get its place here. All tests may also import testSupport.
var arrows = []struct {
	pkg     string
	knows   []string
	inTests []string
}{
	{pkg: "api/v1alpha1"},
	{pkg: "source", knows: []string{"internal/nearness", "internal/panics"}},
	{pkg: "source/webhook"},
	{pkg: "source/forge"},
	{pkg: "secrets", knows: []string{"internal/worker"}},
	{pkg: "health"},
	{pkg: "reconciler/manifest"},
	{pkg: "internal/worker"},
	{pkg: "internal/nearness"},
	{pkg: "internal/panics"},
	{pkg: "reconciler/kustomize", knows: []string{"internal/worker"}},
	{pkg: "reconciler/render", knows: []string{"reconciler/manifest", "reconciler/kustomize"}},
	{pkg: "reconciler/fields", knows: []string{"reconciler/manifest"}},
	{pkg: "reconciler/observed", knows: []string{"reconciler/manifest", "health"}},
	{pkg: "reconciler/plan", knows: []string{"reconciler/manifest", "reconciler/observed", "health"}},
	{pkg: "reconciler/apply", knows: []string{"internal/panics", "reconciler/manifest", "reconciler/observed", "reconciler/plan", "health"}},
	{pkg: "reconciler/records", knows: []string{"reconciler/manifest", "reconciler/plan"}},
	{pkg: "reconciler/live", knows: []string{"internal/panics", "reconciler/manifest", "reconciler/observed", "health"}},
	{pkg: "reconciler/clusters", knows: []string{"reconciler/apply", "reconciler/live", "reconciler/manifest"}},
	{pkg: "reconciler/remote"},
	{pkg: "reconciler/images", knows: []string{"internal/nearness", "internal/panics", "reconciler/manifest", "reconciler/plan"}},
	{pkg: "reconciler", knows: []string{"internal/panics", "source", "health", "reconciler/images", "reconciler/manifest", "reconciler/kustomize", "reconciler/render",
		"reconciler/observed", "reconciler/plan", "reconciler/apply", "reconciler/records", "reconciler/live", "reconciler/clusters"}},
	{pkg: "reconciler/fleet", knows: []string{"internal/panics", "reconciler", "reconciler/apply", "reconciler/remote"}},
	{pkg: "reconciler/naming", knows: []string{"api/v1alpha1"}},
	{pkg: "reconciler/keyring", knows: []string{"secrets", "reconciler/render"}},
	{pkg: "reconciler/stores", knows: []string{"api/v1alpha1", "source"}},
	{pkg: "reconciler/branches", knows: []string{"api/v1alpha1", "source", "reconciler/naming"}},
	{pkg: "reconciler/control", knows: []string{"api/v1alpha1"}},
	{pkg: "reconciler/proposals", knows: []string{"secrets", "reconciler", "reconciler/apply", "reconciler/fields", "reconciler/manifest", "reconciler/plan", "reconciler/render"},
		inTests: []string{"health"}},
	{pkg: "reconciler/feedback", knows: []string{"internal/panics", "api/v1alpha1", "source/forge", "reconciler/control", "reconciler/fields", "reconciler/naming", "reconciler/proposals"}},
	{pkg: "reconciler/repositories", knows: []string{"api/v1alpha1", "source", "reconciler/branches", "reconciler/clusters", "reconciler/control", "reconciler/fleet", "reconciler/naming", "reconciler/stores"}},
	{pkg: "reconciler/environments", knows: []string{"api/v1alpha1", "health", "reconciler", "reconciler/branches", "reconciler/control", "reconciler/fleet", "reconciler/naming",
		"reconciler/plan", "reconciler/report", "reconciler/stores"},
		inTests: []string{"reconciler/clusters", "reconciler/live"}},
	{pkg: "reconciler/agent", knows: []string{"internal/panics", "api/v1alpha1", "source", "source/webhook", "reconciler", "reconciler/apply", "reconciler/branches",
		"reconciler/clusters", "reconciler/control", "reconciler/environments", "reconciler/feedback", "reconciler/fleet", "reconciler/images", "reconciler/kustomize", "reconciler/manifest", "reconciler/proposals", "reconciler/records", "reconciler/render", "reconciler/report",
		"reconciler/repositories", "reconciler/stores"},
		inTests: []string{"deploy", "reconciler/naming"}},
	{pkg: "reconciler/report", knows: []string{"internal/panics", "api/v1alpha1", "reconciler", "reconciler/observed", "reconciler/plan"},
		inTests: []string{"deploy", "health", "reconciler/apply", "reconciler/manifest"}},
	{pkg: "cmd/berth-sops/closed"},
	{pkg: "cmd/berth-sops", knows: []string{"cmd/berth-sops/closed", "secrets"}},
	{pkg: "cmd/...", knows: []string{"api/...", "source/...", "secrets", "health", "reconciler/...", "deploy", "cmd/internal/..."}},
	{pkg: "deploy"},
	{pkg: "deploy/chartgen"},
	{pkg: "examples", inTests: []string{"api/v1alpha1", "deploy", "source", "secrets", "reconciler/manifest", "reconciler/render"}},
	{pkg: "internal/buildtest"},
	{pkg: "internal/apitest", knows: []string{"api/v1alpha1", "reconciler/naming"}},
	{pkg: "internal/clustertest"},
	{pkg: "internal/faulttest"},
	{pkg: "internal/gittest"},
	{pkg: "internal/issuertest"},
	{pkg: "internal/loopback"},
	{pkg: "internal/objecttest"},
	{pkg: "internal/kustomizetest", knows: []string{"reconciler/kustomize"}},
	{pkg: "internal/sopstest", knows: []string{"secrets", "internal/buildtest"}},
	{pkg: "."},
}

var testSupport = []string{"internal/apitest", "internal/buildtest", "internal/clustertest", "internal/faulttest", "internal/gittest", "internal/issuertest", "internal/kustomizetest", "internal/loopback", "internal/objecttest", "internal/sopstest"}

// clients are the packages that talk to the API server.
var clients = []string{"reconciler/apply", "reconciler/live", "reconciler/clusters", "reconciler/fleet", "reconciler/remote", "reconciler/records", "reconciler/agent", "reconciler/control", "reconciler/repositories", "reconciler/environments", "reconciler/report", "reconciler/feedback",
	"cmd/...", "internal/clustertest", "internal/faulttest"}

// fences lists where external packages (import paths) or single functions ("path.Name") may be used.
var fences = []struct {
	things  []string
	only    []string // the packages that may use it
	never   []string // or the only packages that must not
	inTests []string // further packages whose tests may
	why     string
}{
	{
		things: []string{"github.com/go-git/..."},
		only:   []string{"source"},
		why:    "how Git is read is source's matter",
	},
	{
		things: []string{"github.com/getsops/...", "github.com/aws/...", "github.com/Azure/...", "cloud.google.com/...",
			"google.golang.org/api/...", "github.com/hashicorp/..."},
		only: []string{"cmd/berth-sops"},
		why:  "the SOPS library, and the clouds' clients with it, run in a process of their own",
	},
	{
		things: []string{"golang.org/x/oauth2/..."},
		only:   []string{"cmd/berth-sops", "cmd/internal/login"},
		why:    "viewers of the page log in by it, and clouds' clients use it",
	},
	{
		things: []string{"github.com/coreos/go-oidc/...", "github.com/go-jose/..."},
		only:   []string{"cmd/internal/login"},
		why:    "only the page has a login",
	},
	{
		things: []string{"filippo.io/...", "github.com/ProtonMail/..."},
		only:   []string{"secrets", "cmd/berth-sops", "internal/sopstest"},
		why:    "keys are read by secrets and its worker; tests make some",
	},
	{
		things:  []string{"sigs.k8s.io/kustomize/..."},
		only:    []string{"reconciler/kustomize", "reconciler/render"},
		inTests: []string{"deploy"}, // which compares its objects with those that Kustomize builds
		why:     "how manifests are built is the matter of these two",
	},
	{
		things:  []string{"sigs.k8s.io/kustomize/api/krusty"},
		only:    []string{"reconciler/kustomize"},
		inTests: []string{"deploy", "reconciler/render"}, // which compare with Kustomize's own builds
		why:     "a build runs in a process of its own",
	},
	{
		things: []string{"k8s.io/client-go/discovery/...", "k8s.io/client-go/dynamic/...", "k8s.io/client-go/informers/...",
			"k8s.io/client-go/kubernetes/...", "k8s.io/client-go/metadata/...", "k8s.io/client-go/rest/...",
			"k8s.io/client-go/restmapper/...", "k8s.io/client-go/scale/...", "k8s.io/client-go/tools/...",
			"k8s.io/cli-runtime/...", "k8s.io/kubectl/...", "sigs.k8s.io/controller-runtime/..."},
		only:    clients,
		inTests: []string{anything}, // which read the cluster directly
		why:     "the others judge what these bring and decide what these do",
	},
	{
		things:  []string{"github.com/google/go-containerregistry/..."},
		only:    []string{"reconciler/images"},
		inTests: []string{"reconciler"}, // which runs a registry
		why:     "how registries are asked is images' matter",
	},
	{
		things: []string{"html/template"},
		only:   []string{"cmd/internal/web"},
		why:    "only the page is HTML",
	},
	{
		things: []string{"github.com/prometheus/..."},
		only:   []string{"reconciler/report", "cmd/..."},
		why:    "libraries are silent; report alone counts",
	},
	{
		things: []string{"flag", "github.com/spf13/...",
			"os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "os.UserHomeDir"},
		only:    []string{"cmd/...", "internal/..."},
		inTests: []string{anything},
		why:     "a library is configured by what it is given",
	},
	{
		things:  []string{"context.Background", "context.TODO"},
		only:    []string{"cmd/berth", "cmd/berth-sops", "internal/..."},
		inTests: []string{anything},
		why:     "whatever may take long can be ended by its caller",
	},
	{
		things: []string{"context", "log/...", "github.com/go-logr/...", "k8s.io/klog/...", "os", "net/...", "math/rand/...",
			"time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.NewTimer", "time.NewTicker",
			"time.Tick", "time.Sleep", "k8s.io/apimachinery/pkg/apis/meta/v1.Now", "k8s.io/utils/clock/..."},
		never:   []string{"reconciler/observed", "reconciler/plan", "reconciler/branches"},
		inTests: []string{anything},
		why:     "what is decided follows from the input alone",
	},
	{
		things: []string{"math/rand/...", "time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.NewTimer",
			"time.NewTicker", "time.Tick", "time.Sleep"},
		never:   []string{"reconciler/live", "source/forge"},
		inTests: []string{anything},
		why:     "clock and randomness come with its Config",
	},
	{
		things: []string{"github.com/stretchr/...", "github.com/golang/mock/...", "go.uber.org/mock/...", "k8s.io/kubernetes/..."},
		only:   nil,
		why:    "nothing here needs it",
	},
}

func TestImports(t *testing.T) {
	for _, violation := range violations(t, os.DirFS(".")) {
		t.Error(violation)
	}
}

// violations parses every Go file of the module. The go command's answers are cached, and omit files with build
// constraints.
func violations(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (isOtherModule(tree, name) || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found = append(found, check(files, file)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func isOtherModule(tree fs.FS, dir string) bool {
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

func check(files *token.FileSet, file *ast.File) []string {
	name := files.Position(file.Package).Filename
	pkg, isTest := path.Dir(name), strings.HasSuffix(name, "_test.go")
	var found []string
	report := func(pos token.Pos, format string, args ...any) {
		at := files.Position(pos)
		found = append(found, fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, fmt.Sprintf(format, args...)))
	}
	known, ruled := mayKnow(pkg, isTest)
	if !ruled {
		report(file.Package, "package %q has no rule: say in imports_test.go what it may know", pkg)
	}
	for _, use := range uses(file) {
		if ours, ok := strings.CutPrefix(use.thing, module+"/"); ok && use.isImport {
			if ruled && !matchesAny(known, ours) {
				report(use.pos, "%s must not know %s", pkg, ours)
			}
			continue
		}
		if why := fenced(use.thing, pkg, isTest); why != "" {
			report(use.pos, "%s must not use %s: %s", pkg, use.thing, why)
		}
	}
	return found
}

func mayKnow(pkg string, isTest bool) (known []string, ruled bool) {
	for _, arrow := range arrows {
		if !matches(arrow.pkg, pkg) {
			continue
		}
		if !isTest {
			return arrow.knows, true
		}
		return slices.Concat(arrow.knows, arrow.inTests, testSupport, []string{pkg}), true
	}
	return nil, false
}

// fenced returns why a package must not use something, or "" if it may.
func fenced(thing, pkg string, isTest bool) string {
	for _, fence := range fences {
		if !matchesAny(fence.things, thing) || isTest && matchesAny(fence.inTests, pkg) {
			continue
		}
		if matchesAny(fence.never, pkg) || len(fence.never) == 0 && !matchesAny(fence.only, pkg) {
			return fence.why
		}
	}
	return ""
}

type use struct {
	thing    string // an import path, or "path.Name"
	isImport bool
	pos      token.Pos
}

// uses returns a file's imports, and the names that it uses from them.
func uses(file *ast.File) []use {
	var found []use
	imported := map[string]string{}
	for _, spec := range file.Imports {
		thing, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser accepts no such file
		}
		found = append(found, use{thing, true, spec.Pos()})
		name := path.Base(thing)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported[name] = thing
	}
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if of, ok := selector.X.(*ast.Ident); ok && imported[of.Name] != "" {
			found = append(found, use{imported[of.Name] + "." + selector.Sel.Name, false, selector.Pos()})
		}
		return true
	})
	return found
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, name) })
}

func matches(pattern, name string) bool {
	if pattern == anything {
		return true
	}
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return name == tree || isTree && strings.HasPrefix(name, tree+"/")
}

package examples_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/internal/kustomizetest"
	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/secrets"
	"berth.dev/berth/source"
)

func TestPostsRendersForEveryEntry(t *testing.T) {
	repository := push(t)
	app, frontend := repository.Hash("main", "app"), repository.Hash("main", "frontend")
	for _, entry := range entries(t) {
		t.Run(entry.Name, func(t *testing.T) {
			objects := rendered(t, repository, entry)
			want := []string{"ConfigMap/nginx", "ConfigMap/posts", "CronJob/scheduler", "Deployment/api", "Deployment/frontend",
				"Deployment/nginx", "Deployment/worker", "Ingress/posts", "Job/migrate", "Secret/posts", "Service/api",
				"Service/frontend", "Service/nginx"}
			if entry.Name == "review" {
				want = append(want, "Job/create-database", "Job/drop-database", "Secret/postgres-admin")
				slices.Sort(want)
			}
			if diff := cmp.Diff(want, names(objects)); diff != "" {
				t.Errorf("objects differ (-want +got):\n%s", diff)
			}
			for key, image := range map[string]string{
				"Job/migrate":         "registry.example.com/acme/posts-app:" + app,
				"Deployment/api":      "registry.example.com/acme/posts-app:" + app,
				"Deployment/frontend": "registry.example.com/acme/posts-frontend:" + frontend,
			} {
				if text := textOf(t, objects[key]); !strings.Contains(text, "image: "+image+"\n") {
					t.Errorf("%s does not run %s:\n%s", key, image, text)
				}
			}
			config, _, err := unstructured.NestedString(objects["ConfigMap/nginx"].Object, "data", "default.conf")
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{
				"add_header X-Request-Id ${request_id} always;",
				"fastcgi_param PATH_INFO $uri;",
				"fastcgi_pass api." + namespaceOf(entry) + ".svc.cluster.local:9000;",
			} {
				if !strings.Contains(config, line) {
					t.Errorf("nginx's configuration lacks %q:\n%s", line, config)
				}
			}
			replicas, _, err := unstructured.NestedInt64(objects["Deployment/api"].Object, "spec", "replicas")
			if want := number(entry, "REPLICAS"); err != nil || replicas != want {
				t.Errorf("the api has %d replicas, want %d (%v)", replicas, want, err)
			}
		})
	}
}

// A preview cannot reach production's database. It has another server, another password and its own database, which
// it creates before the migration and drops at its end.
func TestPreviewsHaveADatabaseOfTheirOwn(t *testing.T) {
	repository, both := push(t), entries(t)
	production, review := rendered(t, repository, both[0]), rendered(t, repository, both[1])
	for _, field := range [][]string{{"ConfigMap/posts", "data", "DB_HOST"}, {"ConfigMap/posts", "data", "DB_NAME"}, {"Secret/posts", "data", "DB_PASSWORD"}} {
		of := func(objects map[string]manifest.Object) string {
			value, _, _ := unstructured.NestedString(objects[field[0]].Object, field[1:]...)
			return value
		}
		if of(production) == of(review) || of(review) == "" {
			t.Errorf("%s of a preview is %q, and production's is %q", field[2], of(review), of(production))
		}
	}
	created, err := manifest.PlaceOf(review["Job/create-database"])
	if err != nil {
		t.Fatal(err)
	}
	migrated, err := manifest.PlaceOf(review["Job/migrate"])
	if err != nil {
		t.Fatal(err)
	}
	if created.Wave >= migrated.Wave {
		t.Errorf("the database is made in wave %d, and the migration runs in wave %d", created.Wave, migrated.Wave)
	}
	if how := review["Job/drop-database"].GetAnnotations()[manifest.AnnotationJob]; how != "on-removal" {
		t.Error("the database is not dropped when the preview goes")
	}
}

// The README's claims about each change.
func TestPostsChangesOnlyWhatIsMeant(t *testing.T) {
	for _, test := range []struct {
		file string
		want []string
	}{
		{"app/console.php", []string{"CronJob/scheduler", "Deployment/api", "Deployment/worker", "Job/migrate"}},
		{"frontend/index.html", []string{"Deployment/frontend"}},
		{"README.md", nil},
	} {
		t.Run(test.file, func(t *testing.T) {
			repository, production := push(t), entries(t)[0]
			before := rendered(t, repository, production)
			repository.Commit("main", map[string]string{test.file: "changed\n"}, "change "+test.file)
			after := rendered(t, repository, production)
			var changed []string
			for _, name := range names(after) {
				if !cmp.Equal(before[name].Object, after[name].Object) {
					changed = append(changed, name)
				}
			}
			if diff := cmp.Diff(test.want, changed); diff != "" {
				t.Errorf("what changed differs (-want +got):\n%s", diff)
			}
		})
	}
}

// The manifests are valid under strict validation, without warnings, in namespaces that warn of violations of the
// restricted Pod Security level.
func TestPostsIsValid(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Config{APIServerOnly: true})
	config := cluster.RESTConfig()
	config.WarningHandler = warnings{t}
	installation, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	repository := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(read(t, "posts/berth/repository.yaml"), &repository.Object); err != nil {
		t.Fatal(err)
	}
	all := append(installation, repository)
	posts := push(t)
	for _, entry := range entries(t) {
		labels := map[string]string{"pod-security.kubernetes.io/warn": "restricted"}
		all = append(all, manifest.Namespace(namespaceOf(entry), labels, nil).Unstructured)
		objects := rendered(t, posts, entry)
		for _, name := range names(objects) {
			all = append(all, objects[name].Unstructured)
		}
	}
	if err := clustertest.Apply(t.Context(), config, all...); err != nil {
		t.Error(err)
	}
}

type warnings struct{ testing.TB }

func (w warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.Errorf("the API server warns: %s", text)
}

// push puts the example into a repository of its own, as its README describes.
func push(t *testing.T) *gittest.Repository {
	t.Helper()
	repository := gittest.NewServer(t).Repository("acme/posts")
	repository.CommitFS("main", os.DirFS("posts"), "posts")
	return repository
}

func entries(t *testing.T) []v1alpha1.Entry {
	t.Helper()
	var repository v1alpha1.Repository
	if err := yaml.UnmarshalStrict(read(t, "posts/berth/repository.yaml"), &repository); err != nil {
		t.Fatal(err)
	}
	return repository.Spec.Environments
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const slug = "feature-login-4f7k2a"

func namespaceOf(entry v1alpha1.Entry) string {
	return strings.ReplaceAll(entry.Namespace, "${BRANCH_SLUG}", slug)
}

func number(entry v1alpha1.Entry, name string) int64 {
	value := entry.Variables[name]
	return int64(value.IntValue())
}

func rendered(t *testing.T, repository *gittest.Repository, entry v1alpha1.Entry) map[string]manifest.Object {
	t.Helper()
	store, err := source.Open(source.Config{Dir: t.TempDir(), URL: repository.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	snapshot, err := store.Snapshot(t.Context(), repository.Head("main"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := render.Render(t.Context(), snapshot, render.Options{
		Path:      entry.Path,
		Kustomize: kustomizetest.Builder(),
		Decrypter: decrypter(t, entry),
		Namespace: namespaceOf(entry),
		Variables: map[string]any{
			"NAMESPACE": namespaceOf(entry),
			"HOST":      strings.ReplaceAll(entry.Variables["HOST"].StrVal, "${BRANCH_SLUG}", slug),
			"DB_HOST":   entry.Variables["DB_HOST"].StrVal,
			"REPLICAS":  number(entry, "REPLICAS"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]manifest.Object{}
	for _, object := range result.Set.Objects {
		objects[object.Key().Short()] = object
	}
	return objects
}

// opener decrypts with an entry's demo key.
type opener struct{ *secrets.Decrypter }

func (opener) Encrypted(file string, content []byte) bool { return secrets.Encrypted(file, content) }

func (o opener) Open(ctx context.Context, file string, content []byte) (render.Opened, error) {
	plain, err := o.Decrypter.Open(ctx, file, content)
	opened := render.Opened{Content: plain.Content, Veiled: plain.Veiled, Values: map[string]render.Value{}}
	for placeholder, value := range plain.Values {
		opened.Values[placeholder] = render.Value(value)
	}
	return opened, err
}

func decrypter(t *testing.T, entry v1alpha1.Entry) opener {
	t.Helper()
	keys, err := secrets.ParseKeys(map[string][]byte{"age.agekey": read(t, "posts/berth/demo-keys/"+entry.Name+".agekey")})
	if err != nil {
		t.Fatal(err)
	}
	return opener{secrets.New(secrets.Config{Keys: keys, Workers: secrets.NewWorkers(secrets.WorkersConfig{Command: []string{sopstest.Worker(t)}})})}
}

func names(objects map[string]manifest.Object) []string {
	var names []string
	for name := range objects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func textOf(t *testing.T, object manifest.Object) string {
	t.Helper()
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

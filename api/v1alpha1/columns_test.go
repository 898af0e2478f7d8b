package v1alpha1_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

func TestWhatKubectlPrintsOfAnEnvironment(t *testing.T) {
	api := connect(t)
	environment := &v1alpha1.Environment{
		ObjectMeta: metav1.ObjectMeta{Name: "columns.review.login", Namespace: "default"},
		Spec:       v1alpha1.EnvironmentSpec{Repository: "columns", Entry: "review", Branch: "login", Namespace: "posts-login", Cluster: "staging"},
	}
	if err := api.Create(t.Context(), environment); err != nil {
		t.Fatal(err)
	}
	environment.Status = v1alpha1.EnvironmentStatus{
		Conditions:  ready(v1alpha1.ReasonSyncing, "Deployment/api: 0 of 1 ready"),
		Link:        "https://login.example.com",
		ShortCommit: "1a2b3c4d",
		CommitTime:  hoursAgo(10),

		CommitAuthor:  "Ada",
		CommitSubject: "Add the login page",
	}
	if err := api.Status().Update(t.Context(), environment); err != nil {
		t.Fatal(err)
	}
	want := []column{
		{"Name", 0, "columns.review.login"},
		{"Branch", 0, "login"},
		{"Commit", 0, "1a2b3c4d"},
		{"Status", 0, "Syncing"},
		{"Age", 0, "0s"},
		{"Link", 0, "https://login.example.com"},
		{"Cluster", 1, "staging"},
		{"Namespace", 1, "posts-login"},
		{"Pin", 1, nil},
		{"Committed", 1, "10h"},
		{"Author", 1, "Ada"},
		{"Subject", 1, "Add the login page"},
		{"Message", 1, "Deployment/api: 0 of 1 ready"},
	}
	got := columns(t, "environments", environment)
	if age, ok := got[4].Cell.(string); ok && strings.HasSuffix(age, "s") {
		got[4].Cell = "0s" // a loaded machine takes some seconds
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestWhatKubectlPrintsOfARepository(t *testing.T) {
	api := connect(t)
	repository := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "columns", Namespace: "default"},
		Spec: v1alpha1.RepositorySpec{
			URL:          "https://example.com/posts.git",
			Environments: []v1alpha1.Entry{{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"}},
		},
	}
	if err := api.Create(t.Context(), repository); err != nil {
		t.Fatal(err)
	}
	repository.Status = v1alpha1.RepositoryStatus{
		Conditions:     ready(v1alpha1.ReasonUnreachable, "example.com: connection refused"),
		LastChangeTime: hoursAgo(12),
		Agent:          "east",
	}
	if err := api.Status().Update(t.Context(), repository); err != nil {
		t.Fatal(err)
	}
	want := []column{
		{"Name", 0, "columns"},
		{"URL", 0, "https://example.com/posts.git"},
		{"Ready", 0, "Unreachable"},
		{"Last change", 0, "12h"},
		{"Agent", 1, "east"},
		{"Message", 0, "example.com: connection refused"},
	}
	if diff := cmp.Diff(want, columns(t, "repositories", repository)); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func ready(reason, message string) []metav1.Condition {
	return []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: 1, LastTransitionTime: metav1.Now(),
	}}
}

func hoursAgo(n int) *metav1.Time {
	then := metav1.NewTime(time.Now().Add(-time.Duration(n)*time.Hour - time.Minute))
	return &then
}

// column is a column of kubectl's table and what stands in it; -o wide prints those of priority 1.
type column struct {
	Name     string
	Priority int32
	Cell     any
}

// columns asks for an object as kubectl does.
func columns(t *testing.T, resource string, object client.Object) []column {
	t.Helper()
	config := cluster(t).RESTConfig()
	connection, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	address := config.Host + "/apis/berth.dev/v1alpha1/namespaces/" + object.GetNamespace() + "/" + resource + "/" + object.GetName()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := connection.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var table metav1.Table
	if err := json.NewDecoder(response.Body).Decode(&table); err != nil || len(table.Rows) != 1 {
		t.Fatalf("%s: %d rows, %v", response.Status, len(table.Rows), err)
	}
	var out []column
	for n, definition := range table.ColumnDefinitions {
		out = append(out, column{definition.Name, definition.Priority, table.Rows[0].Cells[n]})
	}
	return out
}

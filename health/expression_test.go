package health

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// ofDatabases judges a kind without conditions by its phase field.
var ofDatabases = Expression{
	APIVersion: "example.com/v1", Kind: "Database",
	Healthy:     `status.phase == "Running" && status.members >= spec.members`,
	Failed:      `status.phase == "Broken"`,
	Progressing: `has(status.upgrade) && status.upgrade`,
}

func TestExpressions(t *testing.T) {
	expressions, err := Compile([]Expression{ofDatabases})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, rest string
		want       Health
	}{
		{"nothing said yet", `spec: {members: 2}`, Health{Progressing, "the expression healthy is not true yet"}},
		{"not enough", "spec: {members: 2}\nstatus: {phase: Running, members: 1}", Health{Progressing, "the expression healthy is not true yet"}},
		{"healthy", "spec: {members: 2}\nstatus: {phase: Running, members: 2}", Health{Status: Healthy}},
		{"progressing comes first", "spec: {members: 2}\nstatus: {phase: Running, members: 2, upgrade: true}", Health{Progressing, "it is on its way, as the expression progressing says"}},
		{"failed, in its own words", "status: {phase: Broken, conditions: [{type: Ready, status: 'False', message: the disk is full}]}",
			Health{Failed, "it has failed, as the expression failed says: the disk is full"}},
		{"another generation", "spec: {members: 2}\nstatus: {phase: Running, members: 2, observedGeneration: 1}", unseen},
		{"a field of another type", "spec: {members: two}\nstatus: {phase: Running, members: 2}", Health{Progressing, "the expression healthy is not true yet"}},
		{"no status at all", "status: here", Health{Progressing, "the expression healthy is not true yet"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := expressions.Of(database(t, test.rest)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	deleted := database(t, "{}")
	deleted.Object["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	if got := expressions.Of(deleted); got.Status != Terminating {
		t.Errorf("got %v", got)
	}
}

func database(t *testing.T, rest string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	text := "apiVersion: example.com/v1\nkind: Database\nmetadata: {name: main, generation: 2}\n"
	if rest != "{}" {
		text += rest
	}
	content, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = obj.UnmarshalJSON(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestOtherKindsAreJudgedAsEver(t *testing.T) {
	expressions, err := Compile([]Expression{ofDatabases})
	if err != nil {
		t.Fatal(err)
	}
	if gk := (schema.GroupKind{Kind: "ConfigMap"}); expressions.Judge(gk) || (*Expressions)(nil).Judge(gk) {
		t.Error("a ConfigMap is judged by expressions")
	}
	if len(expressions.Kinds()) != 1 || len((*Expressions)(nil).Kinds()) != 0 {
		t.Error("the kinds are wrong")
	}
	if none, err := Compile(nil); none != nil || err != nil {
		t.Errorf("got %v, %v", none, err)
	}
}

func TestBadExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"status.phase ==":      "health.expressions[0].healthy of Database: cannot read the expression: ERROR",
		"size(status.members)": "the expression gives a int, and must give true or false",
		"stat.phase == 'x'":    "undeclared reference to 'stat'",
	} {
		_, err := Compile([]Expression{{APIVersion: "example.com/v1", Kind: "Database", Healthy: text}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := Compile([]Expression{{APIVersion: "apps/v1", Kind: "Deployment", Healthy: "true"}}); err == nil || !strings.Contains(err.Error(), "a rule for the kind Deployment") {
		t.Errorf("got %v", err)
	}
	if _, err := Compile([]Expression{{APIVersion: "a/b/c", Kind: "X", Healthy: "true"}}); err == nil {
		t.Error("a bad apiVersion was taken")
	}
	// An endless expression takes only a moment, and counts as false.
	endless, err := Compile([]Expression{{APIVersion: "example.com/v1", Kind: "Database",
		Healthy: "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a+b+c+d+e+f > 0))))))"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := endless.Of(database(t, "{}")); got.Status != Progressing {
		t.Errorf("got %v", got)
	}
}

package health

import (
	"fmt"
	"reflect"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Expression judges the objects of one kind without a rule of its own, by expressions in CEL. Each sees the object's
// apiVersion, kind, metadata, spec and status, and returns a boolean.
type Expression struct {
	APIVersion, Kind string
	// Healthy is true once the object has settled. Failed, if given, is true when it cannot recover without a change.
	// Progressing, if given, is true while it is on its way, whatever the others return.
	Healthy, Failed, Progressing string
}

// Expressions judge objects. A nil one judges none.
type Expressions struct {
	rules map[schema.GroupKind]expressionRule
}

type expressionRule struct{ healthy, failed, progressing cel.Program }

// maxCost bounds one evaluation: far more than any status needs, and at most a few milliseconds.
const maxCost = 1_000_000

// Compile checks expressions, and prepares them for use. Its error names the first invalid one.
func Compile(list []Expression) (*Expressions, error) {
	if len(list) == 0 {
		return nil, nil
	}
	env, err := cel.NewEnv(
		cel.Variable("apiVersion", cel.StringType), cel.Variable("kind", cel.StringType),
		cel.Variable("metadata", cel.DynType), cel.Variable("spec", cel.DynType), cel.Variable("status", cel.DynType),
	)
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	all := &Expressions{rules: map[schema.GroupKind]expressionRule{}}
	for i, e := range list {
		gv, err := schema.ParseGroupVersion(e.APIVersion)
		if err != nil {
			return nil, fmt.Errorf("health.expressions[%d].apiVersion: %w", i, err)
		}
		gk := gv.WithKind(e.Kind).GroupKind()
		if _, known := judges[gk]; known || plain[gk] {
			return nil, fmt.Errorf("health.expressions[%d]: there is a rule for the kind %s already, which cannot be replaced", i, e.Kind)
		}
		var r expressionRule
		for _, part := range []struct {
			name, text string
			into       *cel.Program
		}{{"healthy", e.Healthy, &r.healthy}, {"failed", e.Failed, &r.failed}, {"progressing", e.Progressing, &r.progressing}} {
			if *part.into, err = program(env, part.text); err != nil {
				return nil, fmt.Errorf("health.expressions[%d].%s of %s: %w", i, part.name, e.Kind, err)
			}
		}
		all.rules[gk] = r
	}
	return all, nil
}

func program(env *cel.Env, text string) (cel.Program, error) {
	if text == "" {
		return nil, nil
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the expression: %s", oneLine(err.Error()))
	}
	if t := ast.OutputType(); t != cel.BoolType && t != cel.DynType {
		return nil, fmt.Errorf("the expression gives a %s, and must give true or false", t)
	}
	return env.Program(ast, cel.CostLimit(maxCost))
}

// Kinds returns the kinds that are judged by expressions.
func (e *Expressions) Kinds() (kinds []schema.GroupKind) {
	if e != nil {
		for gk := range e.rules {
			kinds = append(kinds, gk)
		}
	}
	return kinds
}

// Judge reports whether there are expressions for a kind.
func (e *Expressions) Judge(kind schema.GroupKind) bool {
	if e == nil {
		return false
	}
	_, ok := e.rules[kind]
	return ok
}

// Of judges one live object like [Of], by its kind's expressions. An expression that reads a missing field, such as a
// status before its first write, is false.
func (e *Expressions) Of(obj *unstructured.Unstructured) Health {
	kind := obj.GroupVersionKind().GroupKind()
	if !e.Judge(kind) || obj.GetDeletionTimestamp() != nil {
		return Of(obj)
	}
	if observed, set := observedGeneration(obj); set && observed < obj.GetGeneration() {
		return unseen
	}
	seen := map[string]any{"apiVersion": obj.GetAPIVersion(), "kind": obj.GetKind()}
	for _, field := range []string{"metadata", "spec", "status"} {
		seen[field] = map[string]any{}
		if content, ok := obj.Object[field].(map[string]any); ok {
			seen[field] = content
		}
	}
	switch r := e.rules[kind]; {
	case holds(r.progressing, seen):
		return Health{Progressing, "it is on its way, as the expression progressing says" + ready(obj)}
	case holds(r.failed, seen):
		return Health{Failed, "it has failed, as the expression failed says" + ready(obj)}
	case holds(r.healthy, seen):
		return Health{Status: Healthy}
	}
	return Health{Progressing, "the expression healthy is not true yet" + ready(obj)}
}

// observedGeneration returns the generation that the object's controller has seen, if the status has it.
func observedGeneration(obj *unstructured.Unstructured) (int64, bool) {
	readable, err := conventional(obj)
	if err != nil {
		return 0, false
	}
	observed, set, err := unstructured.NestedInt64(readable.Object, "status", "observedGeneration")
	return observed, set && err == nil
}

func holds(p cel.Program, seen map[string]any) bool {
	if p == nil {
		return false
	}
	result, _, err := p.Eval(seen)
	return err == nil && reflect.DeepEqual(result.Value(), true)
}

// ready adds the object's Ready condition, which most kinds have.
func ready(obj *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		if condition, ok := c.(map[string]any); ok && condition["type"] == "Ready" {
			if message, _ := condition["message"].(string); message != "" {
				return ": " + oneLine(message)
			}
		}
	}
	return ""
}

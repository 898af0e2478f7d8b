package health

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// conventional returns the object with its status in the form of the API conventions, if the given form means the
// same: observedGeneration as text (Argo Rollouts, Istio), conditions as a map by type, and true or false in place of
// "True" and "False". It does not change the object itself.
func conventional(obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	status, ok := obj.Object["status"].(map[string]any)
	if !ok {
		if obj.Object["status"] != nil {
			return nil, fmt.Errorf("status is %s, not an object", shape(obj.Object["status"]))
		}
		return obj, nil
	}
	if isConventional(status) {
		return obj, nil
	}
	status = maps.Clone(status)
	if err := conventionalGeneration(status); err != nil {
		return nil, fmt.Errorf("status.%w", err)
	}
	conditions, err := conventionalConditions(status["conditions"])
	if err != nil {
		return nil, fmt.Errorf("status.%w", err)
	}
	if status["conditions"] != nil {
		status["conditions"] = conditions
	}
	content := maps.Clone(obj.Object)
	content["status"] = status
	return &unstructured.Unstructured{Object: content}, nil
}

// isConventional reports whether a status has that form already: the usual case, which costs no copy.
func isConventional(status map[string]any) bool {
	if _, number := status["observedGeneration"].(int64); !number && status["observedGeneration"] != nil {
		return false
	}
	if status["conditions"] == nil {
		return true
	}
	list, ok := status["conditions"].([]any)
	return ok && !slices.ContainsFunc(list, func(c any) bool {
		condition, ok := c.(map[string]any)
		if !ok {
			return true
		}
		_, text := condition["status"].(string)
		_, number := condition["observedGeneration"].(int64)
		return !text && condition["status"] != nil || !number && condition["observedGeneration"] != nil
	})
}

// conventionalGeneration converts the field observedGeneration to a number.
func conventionalGeneration(of map[string]any) error {
	switch generation := of["observedGeneration"].(type) {
	case nil:
		delete(of, "observedGeneration")
	case int64:
	case float64:
		of["observedGeneration"] = int64(generation)
	case string:
		n, err := strconv.ParseInt(generation, 10, 64)
		switch {
		case generation == "":
			delete(of, "observedGeneration")
		case err != nil:
			return fmt.Errorf("observedGeneration is %q, not a number", oneLine(generation))
		default:
			of["observedGeneration"] = n
		}
	default:
		return fmt.Errorf("observedGeneration is %s, not a number", shape(generation))
	}
	return nil
}

// conventionalConditions converts the conditions of a status to a list, with texts for status.
func conventionalConditions(conditions any) ([]any, error) {
	var list []any
	switch conditions := conditions.(type) {
	case nil:
	case []any:
		list = conditions
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(conditions)) {
			list = append(list, typed(name, conditions[name]))
		}
	default:
		return nil, fmt.Errorf("conditions is %s, not a list", shape(conditions))
	}
	all := make([]any, 0, len(list))
	for i, c := range list {
		condition, ok := c.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("conditions[%d] is %s, not an object", i, shape(c))
		}
		condition = maps.Clone(condition)
		if is, ok := condition["status"].(bool); ok {
			condition["status"] = conditionStatuses[is]
		}
		if err := conventionalGeneration(condition); err != nil {
			return nil, fmt.Errorf("conditions[%d].%w", i, err)
		}
		all = append(all, condition)
	}
	return all, nil
}

// typed converts an entry of a map of conditions to one of a list. In some maps an entry is only true or false.
func typed(name string, entry any) any {
	switch entry := entry.(type) {
	case bool:
		return map[string]any{"type": name, "status": conditionStatuses[entry]}
	case string:
		return map[string]any{"type": name, "status": entry}
	case map[string]any:
		entry = maps.Clone(entry)
		if entry["type"] == nil {
			entry["type"] = name
		}
		return entry
	}
	return entry
}

// conditionStatuses are those of conditions whose status is a boolean.
var conditionStatuses = map[bool]string{true: "True", false: "False"}

// shape names the type of a JSON value.
func shape(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"berth.dev/berth/reconciler/naming"
)

// invalidVariables reports which variables of a Repository in JSON the API server would refuse.
func invalidVariables(repository []byte) error {
	var r struct {
		Spec struct {
			Environments []struct {
				Name      string         `json:"name"`
				Variables map[string]any `json:"variables"`
			} `json:"environments"`
		} `json:"spec"`
	}
	if json.Unmarshal(repository, &r) != nil {
		return nil // the code that reads all of it reports the error
	}
	builtIn := naming.Variables(naming.Subject{})
	var errs []error
	for _, entry := range r.Spec.Environments {
		for _, name := range slices.Sorted(maps.Keys(entry.Variables)) {
			problem := ""
			_, reserved := builtIn[name]
			switch {
			case reserved:
				problem = "has the name of a built-in one; give it another name"
			case len(name) > 63 || len(validation.IsCIdentifier(name)) > 0:
				problem = "has a name that does not consist of at most 63 letters, digits and _, or begins with a digit; give it another name"
			default:
				problem = invalidValue(name, entry.Variables[name])
			}
			if problem != "" {
				errs = append(errs, fmt.Errorf("entry %s: the variable %s %s", entry.Name, name, problem))
			}
		}
	}
	return errors.Join(errs...)
}

// invalidValue describes what is wrong with a variable's value.
func invalidValue(name string, value any) string {
	switch value := value.(type) {
	case string:
		if len([]rune(value)) > 4096 {
			return "is longer than 4096 characters; shorten it"
		}
	case bool:
		return fmt.Sprintf("is a boolean, and must be a text or an integer; put it in quotes: %s: \"%t\"; it is a boolean again where ${%s} stands alone", name, value, name)
	case float64:
		if value != math.Trunc(value) || value < math.MinInt32 || value > math.MaxInt32 {
			return "is not a 32-bit integer; put it in quotes"
		}
	case nil:
		return "has no value; write \"\" if that is meant"
	default:
		return "is neither a text nor an integer; write one"
	}
	return ""
}

// inWords describes where a value of the wrong type is, without the terms of Go.
func inWords(err error) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	kinds := map[string]string{"bool": "a boolean", "string": "a text", "number": "a number", "object": "a mapping", "array": "a list"}
	kind := wrong.Value
	for prefix, words := range kinds {
		if strings.HasPrefix(wrong.Value, prefix) {
			kind = words
		}
	}
	return fmt.Errorf("%s is %s, which does not belong there; kubectl explain repository.%s shows what does", wrong.Field, kind, wrong.Field)
}

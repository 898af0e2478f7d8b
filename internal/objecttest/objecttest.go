// Package objecttest has the vocabulary with which tests describe Kubernetes objects in few words.
package objecttest

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Edit changes an object.
type Edit func(*unstructured.Unstructured)

// Field sets a field.
func Field(value any, path ...string) Edit {
	return func(u *unstructured.Unstructured) {
		if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
			panic(err)
		}
	}
}

// Annotated adds an annotation.
func Annotated(name, value string) Edit {
	return func(u *unstructured.Unstructured) {
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[name] = value
		u.SetAnnotations(annotations)
	}
}

// Runs sets the program of a Job.
func Runs(image string) Edit {
	container := map[string]any{"name": "main", "image": image}
	return Field([]any{container}, "spec", "template", "spec", "containers")
}

// TTL sets how long a Job stays after its end.
func TTL(seconds int64) Edit { return Field(seconds, "spec", "ttlSecondsAfterFinished") }

// Deadline sets how long a Job may run.
func Deadline(seconds int64) Edit { return Field(seconds, "spec", "activeDeadlineSeconds") }

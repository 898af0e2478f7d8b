// Package v1alpha1 holds Berth's two objects: the Repository that an administrator writes and the Environments that the agent creates from it.
//
// `kubectl explain` prints the comments of the fields. Their markers are all the validation that the API server does.
// The agent checks what a schema cannot, such as whether the day in a cron expression exists, and reports errors in the
// Repository's conditions.
//
// `go generate ./api/...` writes the deep copies beside this file and the CRDs in deploy/crds.
//
// +kubebuilder:object:generate=true
// +groupName=berth.dev
package v1alpha1

//go:generate go tool -modfile=../../tools/go.mod controller-gen object crd paths=. output:crd:dir=../../deploy/crds

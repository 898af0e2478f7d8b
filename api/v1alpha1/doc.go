// Package v1alpha1 holds Berth's two objects: the Repository that an administrator writes and the Environments that the agent makes of it.
//
// The comments of the fields are what `kubectl explain` prints, and the markers in them are the whole of the
// validation that the API server does. What a schema cannot say, such as whether a cron expression names a day
// that exists, the agent reports in the Repository's conditions.
//
// `go generate ./api/...` writes the deep copies beside this file and the CRDs in deploy/crds.
//
// +kubebuilder:object:generate=true
// +groupName=berth.dev
package v1alpha1

//go:generate go tool -modfile=../../tools/go.mod controller-gen object crd paths=. output:crd:dir=../../deploy/crds

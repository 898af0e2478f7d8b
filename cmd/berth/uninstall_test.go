package main

import (
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/installation"
)

// The command changes nothing in other clusters. What stays there is named, also if a user wrote the kubeconfig.
func TestUninstallSaysWhatStaysInOtherClusters(t *testing.T) {
	env := func(name, cluster string, policy v1alpha1.RemovalPolicy) (e v1alpha1.Environment) {
		e.Name = name
		e.Spec = v1alpha1.EnvironmentSpec{Namespace: "posts", Cluster: cluster, OnRemoval: policy}
		return e
	}
	entry := v1alpha1.Entry{Name: "late", Cluster: &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: "west"}}}
	survey := &installation.Survey{
		Accounts:     []string{"staging"},
		Repositories: []v1alpha1.Repository{{Spec: v1alpha1.RepositorySpec{Environments: []v1alpha1.Entry{entry}}}},
		Environments: []v1alpha1.Environment{
			env("posts.production.main", "", v1alpha1.RemovalOrphan), env("posts.east.main", "east", v1alpha1.RemovalOrphan),
			env("posts.review.login", "staging", v1alpha1.RemovalDelete),
		},
	}
	for _, test := range []struct {
		keep       bool
		want, lack []string
	}{
		{false, []string{
			"It deletes 1 environment completely, volumes included: posts.review.login (namespace posts in the cluster staging).",
			"These keep running, without Berth's labels: posts.production.main (namespace posts).",
			"These keep running in other clusters, and keep Berth's labels: posts.east.main (namespace posts in the cluster east).",
			"admission policies in other clusters stay: east, staging, west.",
			"run berth cluster remove staging --context CONTEXT.",
		}, nil},
		{true, []string{
			"These keep running, without Berth's labels: posts.production.main (namespace posts).",
			"and keep Berth's labels: posts.east.main (namespace posts in the cluster east), posts.review.login (namespace posts in the cluster staging).",
		}, []string{"It deletes 1 environment"}},
	} {
		text := (&uninstallOptions{keep: test.keep}).describe(survey)
		for _, part := range test.want {
			if !strings.Contains(text, part) {
				t.Errorf("keep %t: %q is missing in\n%s", test.keep, part, text)
			}
		}
		for _, part := range test.lack {
			if strings.Contains(text, part) {
				t.Errorf("keep %t: %q is in\n%s", test.keep, part, text)
			}
		}
	}
}

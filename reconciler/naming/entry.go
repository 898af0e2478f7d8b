package naming

import (
	"cmp"

	"berth.dev/berth/api/v1alpha1"
)

// EntryOf returns the entry of its Repository that an Environment follows: the one of the Environment's entry name
// or, if that is gone, the one that has taken over its branch and place. It returns nil if there is neither.
func EntryOf(repo *v1alpha1.Repository, env *v1alpha1.Environment) *v1alpha1.Entry {
	for i := range repo.Spec.Environments {
		if entry := &repo.Spec.Environments[i]; entry.Name == env.Spec.Entry {
			return entry
		}
	}
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		patterns, err := CompilePatterns(entry.Branches)
		if err == nil && patterns.Match(env.Spec.Branch) && PlaceOf(entry, env.Spec.Branch) == Here(env) {
			return entry
		}
	}
	return nil
}

// IsPreview reports whether an Environment is a preview: whether its entry has patterns. Without an entry that can be read, its
// end decides: by default only previews are deleted.
func IsPreview(repo *v1alpha1.Repository, env *v1alpha1.Environment) bool {
	if entry := EntryOf(repo, env); entry != nil {
		if patterns, err := CompilePatterns(entry.Branches); err == nil {
			return !patterns.Literal()
		}
	}
	return env.Spec.OnRemoval == v1alpha1.RemovalDelete
}

// Place is where an environment runs: a namespace of a cluster. The same namespace in two clusters is two places.
type Place struct {
	// Cluster is the name of the Secret with the cluster's kubeconfig; empty for the agent's own cluster.
	Cluster, Namespace string
}

// PlaceOf returns where an entry runs the environment of a branch.
func PlaceOf(entry *v1alpha1.Entry, branch string) Place {
	return Place{Cluster: Cluster(entry), Namespace: Namespace(entry.Namespace, branch)}
}

// Here returns where an Environment runs.
func Here(env *v1alpha1.Environment) Place {
	return Place{Cluster: env.Spec.Cluster, Namespace: env.Spec.Namespace}
}

// Cluster returns the name of the cluster of an entry; empty for the agent's own cluster.
func Cluster(entry *v1alpha1.Entry) string {
	if entry.Cluster == nil {
		return ""
	}
	return entry.Cluster.SecretRef.Name
}

// ForAgent returns a Repository as the agent of a name sees it: with the entries that name this agent, and without all
// others. It shares everything else with the Repository.
func ForAgent(repo *v1alpha1.Repository, agent string) *v1alpha1.Repository {
	own := *repo
	own.Spec.Environments = nil
	for _, entry := range repo.Spec.Environments {
		if entry.Agent == agent {
			own.Spec.Environments = append(own.Spec.Environments, entry)
		}
	}
	return &own
}

// Policy limits what the objects of an environment may claim of shared resources. A nil field allows anything.
type Policy struct {
	Hosts, ServiceTypes, Claims []string
}

// RemovalOf is what an entry says of the end of its environments, or by default: what an entry that names its branches runs
// stays, and that of one with a pattern is deleted.
func RemovalOf(entry *v1alpha1.Entry, patterns Patterns) v1alpha1.RemovalPolicy {
	if patterns.Literal() {
		return cmp.Or(entry.OnRemoval, v1alpha1.RemovalOrphan)
	}
	return cmp.Or(entry.OnRemoval, v1alpha1.RemovalDelete)
}

// PolicyOf is what an entry says, or by default: nothing of an entry that names its branches, and of one with a pattern what
// serves its own namespace alone. Variables are replaced in hosts.
func PolicyOf(entry *v1alpha1.Entry, patterns Patterns, values map[string]any) Policy {
	var p Policy
	if !patterns.Literal() {
		p.ServiceTypes, p.Claims = []string{"ClusterIP", "ExternalName"}, []string{}
	}
	for _, host := range entry.AllowedHosts {
		p.Hosts = append(p.Hosts, Expand(host, values))
	}
	if entry.AllowedServiceTypes != nil {
		p.ServiceTypes = []string{}
	}
	for _, kind := range entry.AllowedServiceTypes {
		p.ServiceTypes = append(p.ServiceTypes, string(kind))
	}
	if entry.AllowedClaims != nil {
		p.Claims = []string{}
	}
	for _, claim := range entry.AllowedClaims {
		p.Claims = append(p.Claims, string(claim))
	}
	return p
}

// SubjectOf returns the subject of the built-in variables for an existing Environment, without the commit. Renaming
// an entry does not change it, because running environments keep their names.
func SubjectOf(env *v1alpha1.Environment, patterns Patterns) Subject {
	return Subject{
		Repository: env.Spec.Repository,
		Entry:      env.Spec.Entry,
		Branch:     env.Spec.Branch,
		Namespace:  env.Spec.Namespace,
		Literal:    patterns.Literal(),
	}
}

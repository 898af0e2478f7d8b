// Package proposals plans what the merge of a merge request would do to an environment.
//
// The content of a merge request comes from people who may not deploy. So it is never decrypted: encrypted values are compared
// as ciphertext. The values of fields are compared between two commits, and never with the cluster, which may hold what an
// author cannot read. The cluster decides about actions alone: which Jobs run, what is deleted or kept, and what its dry run
// refuses for the account of the environment.
package proposals

import (
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/fields"
)

// Subject is a merge request and one environment that the merge would change.
type Subject struct {
	Repository types.NamespacedName
	Number     int64
	// Environment is the name of the Environment.
	Environment string
}

// Want asks for the plan of a merge.
type Want struct {
	Subject
	// Target is the head of the target branch.
	Target string
	// Commit is what the branch would be after the merge. With Base it is the head of the merge request, because the forge
	// merges nothing beforehand; Base is where that began.
	Commit, Base string
	// Head is the head of the merge request. Parent is the second parent that Commit must have; empty: any.
	Head, Parent string
	// Key identifies what the plan depends on.
	Key string
}

// Plan is what a merge would do to one environment. It has no values of Secrets.
type Plan struct {
	Environment string
	// Commit is the planned commit.
	Commit string
	// Outdated says that Commit does not merge the newest push.
	Outdated bool
	// Changes are the objects that change, in the order of a sync.
	Changes []Change
	// Rest counts the changes that are not listed, because there are too many.
	Rest Rest
	// Problems say why the sync would not begin, or why there is no plan.
	Problems []string
	// Remarks say what the plan cannot show, or what else is to be known.
	Remarks []string
	// Encrypted says that the merge changes values that were not decrypted.
	Encrypted bool
}

// Empty reports whether the merge changes nothing of the environment.
func (p Plan) Empty() bool { return len(p.Changes) == 0 && len(p.Problems) == 0 }

// Verb is what happens to an object.
type Verb string

// The verbs.
const (
	Added   Verb = "added"
	Changed Verb = "changed"
	Removed Verb = "removed"
	// Kept objects leave Git, and stay in the cluster.
	Kept Verb = "kept"
	// Runs is for Jobs that would run.
	Runs Verb = "runs"
)

// Change is what happens to one object.
type Change struct {
	Verb Verb
	// Object is kind/name, with the namespace if that is not the environment's own. Origin is its place in Git.
	Object, Origin string
	// Fields are the fields that differ between the two commits. Those of objects that may hold secrets have no values.
	Fields []fields.Change
	// MoreFields is the number of further fields that differ.
	MoreFields int
	// Keys is the number of hidden values that differ.
	Keys int
	// Reason is why an object is kept, replaced, or restarted; empty: nothing special.
	Reason string
	// Held is what a deletion would wait for: a user, a running Job, or a finalizer.
	Held string
	// Refused is why the cluster would refuse the object, with its place in Git. Unproved is why that is not known.
	Refused, Unproved string
}

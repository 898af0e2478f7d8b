package main

import (
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// kind is one of Berth's own kinds, and how to print it.
type kind struct {
	singular, plural, short string
	scriptName              string // as kubectl reads it
	list                    func() client.ObjectList
	items                   func(client.ObjectList) []client.Object
	columns, wide           []string
	row                     func(client.Object, time.Time) (row, wide []string)
}

var environmentKind = kind{
	singular: "Environment", plural: "environments", short: "env", scriptName: "environment.berth.dev",
	list: func() client.ObjectList { return &v1alpha1.EnvironmentList{} },
	items: func(list client.ObjectList) []client.Object {
		return pointers(list.(*v1alpha1.EnvironmentList).Items)
	},
	columns: []string{"NAME", "BRANCH", "COMMIT", "STATUS", "AGE", "LINK"},
	wide:    []string{"NAMESPACE", "COMMITTED", "AUTHOR", "SUBJECT", "MESSAGE"},
	row: func(object client.Object, now time.Time) (row, wide []string) {
		env := object.(*v1alpha1.Environment)
		ready := readyOf(env.Status.Conditions)
		return []string{env.Name, env.Spec.Branch, env.Status.ShortCommit, inspect.StatusOf(env), output.Age(env.CreationTimestamp.Time, now), env.Status.Link},
			[]string{env.Spec.Namespace, ageOf(env.Status.CommitTime, now), env.Status.CommitAuthor, env.Status.CommitSubject, ready.Message}
	},
}

var repositoryKind = kind{
	singular: "Repository", plural: "repositories", short: "repo", scriptName: "repository.berth.dev",
	list: func() client.ObjectList { return &v1alpha1.RepositoryList{} },
	items: func(list client.ObjectList) []client.Object {
		return pointers(list.(*v1alpha1.RepositoryList).Items)
	},
	columns: []string{"NAME", "URL", "READY", "LAST CHANGE", "MESSAGE"},
	row: func(object client.Object, now time.Time) (row, wide []string) {
		repo := object.(*v1alpha1.Repository)
		ready := readyOf(repo.Status.Conditions)
		return []string{repo.Name, repo.Spec.URL, ready.Reason, ageOf(repo.Status.LastChangeTime, now), ready.Message}, nil
	},
}

// kindNamed returns the kind that a word of the user means, or nil.
func kindNamed(word string) *kind {
	switch word {
	case "env", "envs", "environment", "environments", "Environment":
		return &environmentKind
	case "repo", "repos", "repository", "repositories", "Repository":
		return &repositoryKind
	}
	return nil
}

func pointers[T any, P interface {
	*T
	client.Object
}](items []T) []client.Object {
	objects := make([]client.Object, len(items))
	for i := range items {
		objects[i] = P(&items[i])
	}
	return objects
}

func readyOf(conditions []metav1.Condition) metav1.Condition { return inspect.Ready(conditions) }

func ageOf(t *metav1.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	return output.Age(t.Time, now)
}

// printer prints objects of one kind in one format.
type printer struct {
	w      io.Writer
	kind   *kind
	format output.Format
	// headers says that the next rows need a header line, and headed that there is one at all.
	headers, headed bool
	now             func() time.Time
	table           *output.Table
	// clusters adds the column CLUSTER to Environments. It is set once two are in different clusters; cluster is that of the
	// first one.
	clusters bool
	cluster  *string
}

// all prints a whole listing.
func (p *printer) all(objects []client.Object) error {
	switch p.format {
	case output.JSON, output.YAML:
		for _, object := range objects {
			p.complete(object)
		}
		return p.format.Write(p.w, output.List(objects))
	}
	return p.rows(objects)
}

// some prints objects of a listing that continues.
func (p *printer) some(objects ...client.Object) error {
	if p.format != output.JSON && p.format != output.YAML {
		return p.rows(objects)
	}
	for _, object := range objects {
		p.complete(object)
		if p.format == output.YAML {
			if _, err := io.WriteString(p.w, "---\n"); err != nil {
				return err
			}
		}
		if err := p.format.Write(p.w, object); err != nil {
			return err
		}
	}
	return nil
}

// state returns all that is printed of an object, except ages. A different text means that there is something to
// print.
func (p *printer) state(object client.Object) string {
	if p.format != formatTable && p.format != formatWide {
		return object.GetResourceVersion()
	}
	row, wide := p.kind.row(object, time.Time{}) // with the zero time all ages are equal
	return strings.Join(p.cells(row, wide), "\x00")
}

// complete prepares an object for kubectl. It sets the kind, which items of lists lack, and removes managedFields,
// which are long and rarely of interest.
func (p *printer) complete(object client.Object) {
	object.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(p.kind.singular))
	object.SetManagedFields(nil)
}

func (p *printer) rows(objects []client.Object) error {
	p.notice(objects)
	var rows [][]string
	if p.headers && p.format != formatName {
		p.headers = false
		rows = append(rows, p.cells(p.placed(p.kind.columns, "CLUSTER"), p.kind.wide))
	}
	for _, object := range objects {
		if p.format == formatName {
			rows = append(rows, []string{p.kind.scriptName + "/" + object.GetName()})
			continue
		}
		row, wide := p.kind.row(object, p.now())
		if env, ok := object.(*v1alpha1.Environment); ok {
			row = p.placed(row, env.Spec.Cluster)
		}
		rows = append(rows, p.cells(row, wide))
	}
	return p.table.Write(rows...)
}

// notice adds the column CLUSTER if Environments are in different clusters. If rows were printed without it, new headers follow.
func (p *printer) notice(objects []client.Object) {
	for _, object := range objects {
		env, ok := object.(*v1alpha1.Environment)
		switch {
		case !ok || p.clusters:
		case p.cluster == nil:
			p.cluster = &env.Spec.Cluster
		case *p.cluster != env.Spec.Cluster:
			p.clusters, p.headers, p.table = true, p.headed, output.NewTable(p.w)
		}
	}
}

// placed inserts the cell of the column CLUSTER after those of the name and the branch.
func (p *printer) placed(row []string, cell string) []string {
	if !p.clusters {
		return row
	}
	return slices.Insert(slices.Clone(row), 2, cell)
}

func (p *printer) cells(row, wide []string) []string {
	if p.format == formatWide {
		return slices.Concat(row, wide)
	}
	return row
}

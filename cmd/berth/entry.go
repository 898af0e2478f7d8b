package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/cmd/internal/repofile"
	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/render"
)

// choice is an entry of a Repository, from a file or from the cluster.
type choice struct {
	repository *v1alpha1.Repository
	entry      *v1alpha1.Entry
	patterns   naming.Patterns
}

// subject returns what the built-in variables describe for a branch.
func (c choice) subject(branch string) naming.Subject {
	return naming.Subject{
		Repository: c.repository.Name,
		Entry:      c.entry.Name,
		Branch:     branch,
		Namespace:  naming.Namespace(c.entry.Namespace, branch),
		Literal:    c.patterns.Literal(),
	}
}

// options returns the options to render a folder for a subject, without a Decrypter.
func (c choice) options(folder string, subject naming.Subject) render.Options {
	o := render.Options{Path: folder, Namespace: subject.Namespace, Variables: naming.Values(subject, c.entry.Variables), Kustomize: builds(kustomize.DefaultLimits, 1)}
	if len(c.entry.Branches) > 0 { // a stand-in has no policy
		o.Policy = render.Policy(naming.PolicyOf(c.entry, c.patterns, o.Variables))
	}
	o.OtherVariables = naming.OtherVariables(c.repository, c.entry)
	if c.entry.Scope == v1alpha1.ScopeCluster {
		o.Scope = render.Cluster
	}
	if c.entry.Decryption != nil {
		o.Decrypted = c.entry.Decryption.Kinds
	}
	return o
}

// mask hides values that may have been decrypted for the entry.
func (c choice) mask() *output.Mask {
	if c.entry.Decryption == nil {
		return &output.Mask{}
	}
	return &output.Mask{Kinds: c.entry.Decryption.Kinds}
}

// chooseEntry reads a Repository and returns the entry of that name. Without a name it returns the only entry that
// matches the branch.
func chooseEntry(s streams, file, name, branch string) (choice, error) {
	all, err := readEntries(s, file)
	if err != nil {
		return choice{}, err
	}
	var names []string
	var found []choice
	for _, c := range all {
		names = append(names, c.entry.Name)
		if named := c.entry.Name == name; named && !c.patterns.Match(branch) {
			return choice{}, fmt.Errorf("%s: entry %s does not match the branch %q: its branches are %q", file, name, branch, c.entry.Branches)
		} else if named || name == "" && c.patterns.Match(branch) {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return choice{}, fmt.Errorf("%s: several entries match the branch %q: name one with --entry: %s", file, branch, strings.Join(names, ", "))
	case name != "":
		return choice{}, noEntry(file, name, names)
	}
	return choice{}, fmt.Errorf("%s: no entry matches the branch %q: it gets no environment", file, branch)
}

// entryNamed reads a Repository and returns the entry of that name. Without a name it returns the only entry.
func entryNamed(s streams, file, name string) (choice, error) {
	all, err := readEntries(s, file)
	if err != nil {
		return choice{}, err
	}
	var names []string
	for _, c := range all {
		if c.entry.Name == name || name == "" && len(all) == 1 {
			return c, nil
		}
		names = append(names, c.entry.Name)
	}
	if name == "" {
		return choice{}, fmt.Errorf("%s has several entries: name one with --entry: %s", file, strings.Join(names, ", "))
	}
	return choice{}, noEntry(file, name, names)
}

func noEntry(file, name string, names []string) error {
	return fmt.Errorf("%s has no entry %q; it has %s", file, name, strings.Join(names, ", "))
}

// readEntries reads the Repositories of a file, or of the standard input.
func readEntries(s streams, file string) ([]choice, error) {
	text, err := readFile(s, file)
	if err != nil {
		return nil, err
	}
	all, err := entries(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

// entries reads the Repositories of a text.
func entries(text []byte) ([]choice, error) {
	var all []choice
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		repo, err := repository(document)
		if err != nil {
			return nil, err
		}
		for i := range repo.Spec.Environments {
			c, err := chosen(repo, &repo.Spec.Environments[i])
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no Repository with environments in it")
	}
	return all, nil
}

// repository reads one document. It returns nil for other kinds.
func repository(document []byte) (*v1alpha1.Repository, error) {
	repo := &v1alpha1.Repository{}
	if err := yaml.Unmarshal(document, &repo.TypeMeta); err != nil {
		return nil, err
	}
	if repo.Kind != "Repository" || repo.APIVersion != v1alpha1.GroupVersion.String() {
		return repo, nil
	}
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	if err := invalidVariables(text); err != nil {
		return nil, err
	}
	unknown, err := json.UnmarshalStrict(text, repo)
	if err := errors.Join(append(unknown, inWords(err))...); err != nil {
		return repo, err
	}
	return repo, repofile.Validate(context.Background(), text) // its cost is bounded
}

// chosen fills in the defaults of the API server.
func chosen(repo *v1alpha1.Repository, entry *v1alpha1.Entry) (choice, error) {
	entry.Path = cmp.Or(entry.Path, ".")
	entry.Scope = cmp.Or(entry.Scope, v1alpha1.ScopeNamespaced)
	patterns, err := naming.CompilePatterns(entry.Branches)
	if err != nil {
		return choice{}, fmt.Errorf("entry %s: %w", entry.Name, err)
	}
	return choice{repository: repo, entry: entry, patterns: patterns}, nil
}

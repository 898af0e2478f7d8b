package checkup

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"berth.dev/berth/cmd/internal/reading"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/secrets"
)

// File is an encrypted file that an entry's manifests use.
type File struct {
	Path   string `json:"path"`
	Format string `json:"format"`
	// Recipients are the keys that can decrypt the file.
	Recipients []string `json:"recipients"`
	// Branches are those with this version of the file, if branches were checked.
	Branches []string `json:"branches,omitempty"`
}

// Survey is the result of checking a folder for an entry.
type Survey struct {
	// Findings are about encrypted files, and about manifests that no kustomization lists.
	Findings []Finding
	// Problems prevent rendering, besides files that cannot be decrypted.
	Problems []Finding
	// LastJobs are the Jobs that run before an environment is deleted.
	LastJobs []LastJob
	// Inputs is everything that the survey depends on.
	Inputs render.Inputs
}

// LastJob is a Job that runs before an environment is deleted.
type LastJob struct {
	// Name is kind/name, and Origin the place of the manifest.
	Name   string
	Origin manifest.Origin
}

// Look renders a folder as the agent does, and checks every encrypted file that it needs. It discards the plain
// text at once.
func Look(ctx context.Context, about string, tree render.Tree, o render.Options) Survey {
	opened := &opening{Decrypter: o.Decrypter, files: map[string]verdict{}}
	read := reading.Of(tree)
	o.Decrypter = opened
	result, err := render.Render(ctx, read, o)
	s := Survey{Inputs: result.Inputs}
	for _, problem := range listed(err) {
		var at *render.Error
		if errors.As(problem, &at) && opened.files[at.Origin.File].why != nil {
			continue
		}
		s.Problems = append(s.Problems, Finding{Result: Problem, About: about, Check: "manifests", Message: problem.Error()})
	}
	if opened.failed() {
		// Kustomize stops at the first file that it cannot open. So it gets all files, encrypted if need be.
		o.Decrypter = lenient{opened}
		_, _ = render.Render(ctx, read, o)
	}
	for _, name := range opened.order {
		s.Findings = append(s.Findings, opened.files[name].finding(about, name))
	}
	for _, wrong := range plan.Misdependent(result.Set) {
		s.Problems = append(s.Problems, Finding{Result: Problem, About: about, Check: "manifests", Message: wrong.Error()})
	}
	for i := range result.Set.Objects {
		if o := &result.Set.Objects[i]; plan.RunsOnRemoval(o) {
			s.LastJobs = append(s.LastJobs, LastJob{Name: o.Key().Short(), Origin: o.Origin})
		}
	}
	for _, w := range result.Set.Warnings {
		if w.Level == manifest.Warn {
			at := w.Origin.String()
			w.Origin = manifest.Origin{}
			s.Findings = append(s.Findings, Finding{Result: Warning, About: about, Check: at, Message: w.String()})
		}
	}
	if err == nil {
		for _, name := range read.Unlisted() {
			s.Findings = append(s.Findings, Finding{Result: Warning, About: about, Check: name, Message: reading.NotListed})
		}
	}
	return s
}

// listed splits a joined error.
func listed(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// verdict is the result of opening a file.
type verdict struct {
	recipients []string
	why        error
	// broken is why no key can open the file.
	broken error
}

// opening records the results of opening files.
type opening struct {
	render.Decrypter
	files map[string]verdict
	order []string
}

// Open opens a file, and records the result.
func (o *opening) Open(ctx context.Context, file string, content []byte) (render.Opened, error) {
	opened, err := o.Decrypter.Open(ctx, file, content)
	if _, again := o.files[file]; !again {
		envelope, broken := secrets.Inspect(file, content)
		if broken == nil && !envelope.Authenticated {
			broken = &secrets.Error{File: file, Reason: secrets.Unauthenticated}
		}
		o.files[file] = verdict{recipients: envelope.Recipients, why: err, broken: broken}
		o.order = append(o.order, file)
	}
	return opened, err
}

func (o *opening) failed() bool {
	return slices.ContainsFunc(o.order, func(name string) bool { return o.files[name].why != nil })
}

// lenient returns files encrypted if they cannot be opened, which is enough to list them.
type lenient struct{ *opening }

// Open opens a file, or returns it encrypted.
func (l lenient) Open(ctx context.Context, file string, content []byte) (render.Opened, error) {
	opened, err := l.opening.Open(ctx, file, content)
	if err != nil {
		return render.Opened{Content: content, Veiled: content}, nil
	}
	return opened, nil
}

func (v verdict) finding(about, name string) Finding {
	f := Finding{About: about, Check: name, File: &File{Path: name, Format: formatOf(name), Recipients: v.recipients}}
	encrypted := f.File.Format + ", encrypted for " + strings.Join(shortened(v.recipients), ", ")
	var e *secrets.Error
	switch {
	case v.why == nil:
		f.Result, f.Message = OK, encrypted
	case errors.As(v.why, &e) && e.Reason == secrets.NotAllowed:
		f.Result, f.Message = Unknown, encrypted+"; remote keys are not used here; the agent uses those that it is allowed to use"
	case e != nil:
		f.Result, f.Message = Problem, v.why.Error()
	case v.broken != nil:
		f.Result, f.Message = Problem, v.broken.Error()
	default:
		f.Result, f.Message = Unknown, encrypted+"; "+v.why.Error()
	}
	return f
}

// formatOf returns the format that SOPS derives from a file's name.
func formatOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml":
		return "yaml"
	case ".json":
		return "json"
	case ".env":
		return "dotenv"
	case ".ini":
		return "ini"
	}
	return "binary"
}

// maxRecipient is the maximum length of a recipient in a line. Post-quantum keys have two thousand letters.
const maxRecipient = 200

func shortened(recipients []string) []string {
	short := slices.Clone(recipients)
	for i, r := range short {
		if len(r) > maxRecipient {
			short[i] = strings.ToValidUTF8(r[:24], "") + "…" + strings.ToValidUTF8(r[len(r)-12:], "")
		}
	}
	return short
}

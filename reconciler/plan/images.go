package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/reconciler/manifest"
)

// Image is an image that a plan brings, and with what its pods pull it.
type Image struct {
	// Name is the image as the workload names it. Of is the first workload that names it.
	Name string
	Of   manifest.Key
	// Account is the ServiceAccount of the pods. Secrets are the imagePullSecrets of their spec. Both are in the
	// namespace of Of.
	Account string
	Secrets []string
}

// Images returns the images that the plan brings: those that its changes name, without the given ones. An image that
// pods pull with different Secrets is returned for each of them.
func (p Plan) Images(known []string) []Image {
	var images []Image
	for _, s := range p.Changes() {
		if s.Action == Prepare {
			continue // it runs when the environment is deleted
		}
		pod := manifest.PodSpec(s.Object.Unstructured)
		account, _ := pod["serviceAccountName"].(string)
		deprecated, _ := pod["serviceAccount"].(string)
		for _, name := range manifest.Images(s.Object.Unstructured) {
			image := Image{Name: name, Of: s.Key, Account: cmp.Or(account, deprecated, "default"), Secrets: pullSecrets(pod)}
			if !slices.Contains(known, name) && !slices.ContainsFunc(images, image.same) {
				images = append(images, image)
			}
		}
	}
	return images
}

// same reports whether another image is the same, and is pulled in the same way.
func (i Image) same(o Image) bool {
	return i.Name == o.Name && i.Of.Namespace == o.Of.Namespace && i.Account == o.Account && slices.Equal(i.Secrets, o.Secrets)
}

func pullSecrets(pod map[string]any) []string {
	var names []string
	secrets, _ := pod["imagePullSecrets"].([]any)
	for _, secret := range secrets {
		reference, _ := secret.(map[string]any)
		if name, _ := reference["name"].(string); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Images says how far the wait for the images of an input is.
type Images struct {
	// Digest is the digest of the input. Open says that it may be applied.
	Digest string `json:"digest,omitempty"`
	Open   bool   `json:"open,omitempty"`
	// Since is when an image was first found missing; zero: none was.
	Since time.Time `json:"since,omitzero"`
	// Retry says that a user asked for another attempt during the wait. It begins when the wait ends.
	Retry bool `json:"retry,omitempty"`
	// Known are the images of the last input that could be applied.
	Known []string `json:"known,omitempty"`
	// Unchecked says which images of this input could not be checked, and why.
	Unchecked []string `json:"unchecked,omitempty"`
}

func (i Images) equal(o Images) bool {
	return i.Digest == o.Digest && i.Open == o.Open && i.Since.Equal(o.Since) && i.Retry == o.Retry && slices.Equal(i.Known, o.Known) && slices.Equal(i.Unchecked, o.Unchecked)
}

// Presence is what a registry last said about an image.
type Presence string

// The presences. The zero value says that no registry has answered yet.
const (
	There   Presence = "there"
	Missing Presence = "missing"
)

// Answer is what is known about an image.
type Answer struct {
	Image    string
	Presence Presence
	// Trouble says why the newest question was not answered; empty: it was, or is under way.
	Trouble string
	// Refused says that the registry does not answer this question, however often it is asked. Otherwise Since is when
	// its trouble began; without trouble, when the first question was to be asked.
	Refused bool
	Since   time.Time
}

// registryPatience is how long a commit waits for a registry that does not say whether it has an image.
const registryPatience = 20 * time.Second

// turnPatience is how long a commit waits for its first question to be asked, while the agent asks many others.
const turnPatience = time.Minute

// Await is what the wait for images depends on.
type Await struct {
	// Name is the name of the Environment, for commands in messages.
	Name string
	// Digest is the digest of the input. Named are all images that it names. Answers are about those that it brings.
	Digest  string
	Named   []string
	Answers []Answer
	Now     time.Time
	// Timeout is how long to wait for an image that is missing.
	Timeout time.Duration
	// Retry starts the wait over.
	Retry bool
}

// Gate is whether an input may be applied.
type Gate struct {
	State GateState
	// Message says what the input waits for.
	Message string
	// Deadline is when the state may change without a new answer; zero: never. Until is when the wait ends; zero: it has
	// not begun.
	Deadline, Until time.Time
}

// GateState is a state of a Gate.
type GateState string

// The states of a Gate.
const (
	GateOpen    GateState = "open"    // all images are there, or it cannot be found out
	GateAsking  GateState = "asking"  // a registry has not answered yet
	GateWaiting GateState = "waiting" // an image is missing
	GateLate    GateState = "late"    // an image is still missing after the timeout
)

// Await decides whether an input may be applied, and returns what to record. An image that is missing blocks it until
// the timeout. A registry that gives no answer never does for longer than the patience.
func (i Images) Await(a Await) (Images, Gate) {
	if i.Digest != a.Digest || a.Retry {
		i = Images{Digest: a.Digest, Known: i.Known, Retry: a.Retry}
	}
	late, open := i.late(a), i.open(a)
	if len(open.missing) > 0 && i.Since.IsZero() {
		i.Since = a.Now.UTC().Truncate(time.Second)
	}
	gate := Gate{Deadline: open.deadline}
	if !i.Since.IsZero() {
		gate.Until = i.Since.Add(a.Timeout)
	}
	switch {
	case len(open.missing) > 0 && late:
		gate.State, gate.Message = GateLate, fmt.Sprintf("%s not there after %s; check the pipeline that builds what is missing; to wait again: berth retry %s", subject(open.missing), short(a.Timeout), a.Name)
	case len(open.missing) > 0:
		gate.State, gate.Deadline = GateWaiting, soonest(gate.Deadline, gate.Until)
		gate.Message = fmt.Sprintf("%s not there yet; waits until %s%s", subject(open.missing), gate.Until.Format("15:04:05 MST"), troubled(open.missing))
	case len(open.asked) > 0:
		gate.State, gate.Message = GateAsking, "asking the registry for image "+enumerated(open.asked)+troubled(open.asked)
	default:
		gate.State, gate.Deadline = GateOpen, time.Time{}
		i.Open, i.Since, i.Known, i.Unchecked = true, time.Time{}, a.Named, open.unchecked
	}
	return i, gate
}

// unanswered sorts the images that are not known to be there.
type unanswered struct {
	missing, asked []Answer
	unchecked      []string  // why images are not waited for
	deadline       time.Time // when the patience with a registry ends; zero: none is in trouble
}

func (i Images) open(a Await) (open unanswered) {
	for _, answer := range a.Answers {
		patience := registryPatience
		if answer.Trouble == "" {
			patience = turnPatience
		}
		silent := answer.Refused || !answer.Since.IsZero() && !a.Now.Before(answer.Since.Add(patience))
		switch {
		case answer.Presence == There:
		case answer.Presence == Missing && !(i.late(a) && silent):
			open.missing = append(open.missing, answer)
		case silent:
			open.unchecked = append(open.unchecked, fmt.Sprintf("image %s could not be checked, so the commit did not wait for it: %s", answer.Image, cmp.Or(answer.Trouble, "the agent asks for too many other images")))
		default:
			open.asked = append(open.asked, answer)
			if !answer.Since.IsZero() {
				open.deadline = soonest(open.deadline, answer.Since.Add(patience))
			}
		}
	}
	return open
}

// late reports whether the wait has used up its time.
func (i Images) late(a Await) bool {
	return !i.Since.IsZero() && !a.Now.Before(i.Since.Add(a.Timeout))
}

// troubled says why it is not known whether the images are there now; empty if it is known.
func troubled(answers []Answer) string {
	for _, answer := range answers {
		if answer.Trouble != "" {
			return "; " + answer.Trouble
		}
	}
	return ""
}

// subject names the images, as the beginning of a sentence.
func subject(answers []Answer) string {
	if len(answers) == 1 {
		return "image " + answers[0].Image + " is"
	}
	return "images " + enumerated(answers) + " are"
}

func enumerated(answers []Answer) string {
	var names []string
	for _, answer := range answers[:min(named, len(answers))] {
		names = append(names, answer.Image)
	}
	text := strings.Join(names, ", ")
	if more := len(answers) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// short returns a duration without units that are zero.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// soonest returns the earlier of two times. A zero time means never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

package manifest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"hash"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var jobKind = schema.GroupKind{Group: "batch", Kind: "Job"}

// IsJob says whether the kind is Kubernetes' Job, which cannot be updated.
func IsJob(gk schema.GroupKind) bool { return gk == jobKind }

// digestVersion is part of every digest, so that a change of what is digested is seen as such. For
// Jobs it is frozen: another version would run every migration of every user again.
const digestVersion = "1"

// Seal sets the digest of every object of the set, as rendered and before Berth's marks are added.
// The digests of Secrets are keyed: an unkeyed one would let who reads annotations guess values. The pods
// of workloads that ask for it get the digests of what they name, so that they change with it.
func (s Set) Seal(key []byte) error {
	for i := range s.Objects {
		if err := s.Objects[i].seal(key); err != nil {
			return err
		}
	}
	for i := range s.Objects {
		o := &s.Objects[i]
		digest := s.restartsFor(*o)
		if digest == "" {
			continue
		}
		if err := unstructured.SetNestedField(o.Object, digest, "spec", "template", "metadata", "annotations", AnnotationRestartedFor); err != nil {
			return fmt.Errorf("%s: %s cannot be restarted on change: %w", o.Origin, o.Key(), err)
		}
		if err := o.seal(key); err != nil {
			return err
		}
	}
	return nil
}

func (o *Object) seal(key []byte) error {
	content := any(o.Object)
	if IsJob(o.GroupVersionKind().GroupKind()) {
		content = o.Object["spec"]
	}
	sum := sha256.New()
	if o.GetKind() == "Secret" {
		sum = hmac.New(sha256.New, key)
	}
	digest, err := digestOf(sum, content)
	if err != nil {
		return fmt.Errorf("%s: %s cannot be digested: %w", o.Origin, o.Key(), err)
	}
	o.Digest = digest
	return nil
}

// digestOf sums the canonical JSON (sorted keys) of content.
func digestOf(sum hash.Hash, content any) (string, error) {
	if err := json.NewEncoder(sum).Encode(content); err != nil {
		return "", err
	}
	return digestVersion + ":" + Short(sum.Sum(nil)), nil
}

// Digest sums a text for use in names, labels and annotations.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return Short(sum[:])
}

// Short writes 130 bits of a sum in lower-case base32: 26 characters that fit a label or a name.
func Short(sum []byte) string {
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum))[:26]
}

// Namespace returns the Namespace object of an environment, sealed.
func Namespace(name string, labels, annotations map[string]string) Object {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind("Namespace")
	u.SetName(name)
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	o := Object{Unstructured: u, Origin: Origin{File: "the environment"}}
	set := Set{Objects: []Object{o}}
	if err := set.Seal(nil); err != nil {
		panic("manifest: " + err.Error()) // strings always have a digest
	}
	return set.Objects[0]
}

package manifest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var jobKind = schema.GroupKind{Group: "batch", Kind: "Job"}

// IsJob reports whether the kind is Kubernetes' Job, which cannot be updated.
func IsJob(gk schema.GroupKind) bool { return gk == jobKind }

// digestVersion is part of every digest, so that a change of the digested content changes all digests. For Jobs it is
// frozen: another version would run every migration of every user again.
const digestVersion = "1"

// Seal sets the digest of every object of the set, as rendered and before Berth's marks are added. The digests of
// Secrets, and of other kinds that may hold decrypted values, are keyed: readers of annotations could guess values
// from an unkeyed one. The pods of workloads that ask for it get the digests of the ConfigMaps and Secrets that they
// name, so that they restart when those change.
func (s Set) Seal(key []byte, decrypted Kinds) error {
	for i := range s.Objects {
		if err := s.Objects[i].seal(key, decrypted); err != nil {
			return err
		}
	}
	named := s.nameable()
	for i := range s.Objects {
		if err := s.Objects[i].sealRestart(key, decrypted, named); err != nil {
			return err
		}
	}
	return nil
}

func (o *Object) seal(key []byte, decrypted Kinds) error {
	content := any(o.Object)
	if IsJob(o.GroupVersionKind().GroupKind()) {
		content = ran(o.Object["spec"])
	}
	plain, keyed := sha256.New(), hmac.New(sha256.New, key)
	if err := json.NewEncoder(io.MultiWriter(plain, keyed)).Encode(content); err != nil { // with sorted keys
		return fmt.Errorf("%s: %s cannot be digested: %w", o.Origin, o.Key(), err)
	}
	o.Digest, o.otherwise = digestOf(plain), digestOf(keyed)
	kind := o.GroupVersionKind().GroupKind()
	if decrypted.MayHoldSecrets(kind) {
		o.Digest, o.otherwise = o.otherwise, o.Digest
	}
	if kind == SecretKind { // whatever an entry says of other kinds
		o.otherwise = ""
	}
	return nil
}

// ran returns the part of a Job's spec that decides about its run: all but the time to live, which Berth implements
// itself.
func ran(spec any) any {
	fields, ok := spec.(map[string]any)
	if !ok {
		return spec
	}
	fields = maps.Clone(fields)
	delete(fields, "ttlSecondsAfterFinished")
	return fields
}

// As returns the object with a digest that it may have been applied with, or nil if the digest is not one of its own.
// The entry says which kinds have keyed digests. Changing that list must not run a Job again or restart a pod, so an
// applied object keeps its digest until its content changes.
func (o *Object) As(digest string) *Object {
	switch {
	case digest == "":
		return nil
	case digest == o.Digest:
		return o
	case digest == o.otherwise:
		sealed := *o
		sealed.Digest, sealed.otherwise = o.otherwise, o.Digest
		return &sealed
	case o.unrestarted != nil:
		return o.unrestarted.As(digest)
	}
	return nil
}

func digestOf(sum hash.Hash) string { return digestVersion + ":" + Short(sum.Sum(nil)) }

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
	return sealedOwn(u)
}

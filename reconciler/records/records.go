// Package records stores what cannot be seen in the cluster: one Secret for each environment, in the agent's namespace. What
// a record says is decided by plan, which declares plan.Record.
package records

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

const (
	// mark is the label of the Secrets that hold records, and their type. They do not bear manifest.LabelEnvironment, so
	// that nothing prunes them: they are not part of the environment.
	mark = "berth.dev/record"
	// entry is the entry of the Secret: gzip over JSON.
	entry = "record.json.gz"
	// maxSize is how many bytes an entry may unpack to.
	maxSize = 64 << 20
)

// errConflict says that another writer changed a record. It has been read again: the pass has to be repeated.
var errConflict = errors.New("the record was changed by another client in the meantime; the pass is repeated")

// UnreadableError says that a stored record cannot be read. It counts as none: everything is applied once more. The next
// Save overwrites it.
type UnreadableError struct {
	Environment string
	Secret      string
	Err         error
}

// Error names the environment and the Secret.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%s: cannot read its record in Secret/%s, so that everything is applied once more: %v", e.Environment, e.Secret, e.Err)
}

// Unwrap returns the cause.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Store keeps the record of every environment as a Secret in the agent's namespace. It expects to be the only writer, and
// notices other writers. Its methods may be called from any goroutine.
type Store struct {
	secrets   typedcorev1.SecretInterface
	namespace string
	// packers holds writers for reuse: a new one takes 800 kB for its tables.
	packers sync.Pool // of *gzip.Writer

	listing sync.Mutex
	listed  bool // known has all records that exist

	mu    sync.Mutex
	known map[string]stored // by the name of the environment
}

// stored is a record as the cluster has it.
type stored struct {
	record     plan.Record
	version    string // of the Secret; empty when there is none
	unreadable error
}

// New returns a Store in a namespace.
func New(client typedcorev1.SecretsGetter, namespace string) *Store {
	return &Store{secrets: client.Secrets(namespace), namespace: namespace, known: map[string]stored{}}
}

// Load returns the record of an environment, or the zero record when there is none. It returns the zero record and an
// *UnreadableError when the record cannot be read. The first Load reads all records with one request; later ones answer
// from memory.
func (r *Store) Load(ctx context.Context, environment string) (plan.Record, error) {
	if err := r.list(ctx); err != nil {
		return plan.Record{}, err
	}
	r.mu.Lock()
	known := r.known[environment]
	r.mu.Unlock()
	return known.record.Clone(), known.unreadable
}

// list reads all records, once. Concurrent callers wait for the one request.
func (r *Store) list(ctx context.Context) error {
	r.listing.Lock()
	defer r.listing.Unlock()
	if r.listed {
		return nil
	}
	list, err := r.secrets.List(ctx, metav1.ListOptions{LabelSelector: mark + "=true"})
	if err != nil {
		return fmt.Errorf("reading the records in the namespace %q: %w", r.namespace, err)
	}
	for i := range list.Items {
		secret := &list.Items[i]
		// One that does not have the name of its environment is a copy.
		if environment := secret.Annotations[manifest.AnnotationEnvironment]; secret.Name == nameOf(environment) {
			r.keep(environment, r.decode(environment, secret))
		}
	}
	r.listed = true
	return nil
}

// Save stores a record unless that would change nothing. It returns an error if the stored record is no longer what Load
// returned; then Load returns what is stored now.
func (r *Store) Save(ctx context.Context, environment string, record plan.Record) error {
	if _, err := r.Load(ctx, environment); err != nil && !isUnreadable(err) {
		return err
	}
	r.mu.Lock()
	known := r.known[environment]
	r.mu.Unlock()
	if known.unreadable == nil && known.record.Equal(record) {
		return nil
	}
	secret, err := r.encode(environment, record)
	if err != nil {
		return err
	}
	written, err := r.write(ctx, secret, known.version)
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		if _, err := r.read(ctx, environment); err != nil {
			return err
		}
		return fmt.Errorf("%s: %w", environment, errConflict)
	case err != nil:
		return fmt.Errorf("%s: cannot store its record in Secret/%s/%s: %w", environment, r.namespace, secret.Name, err)
	}
	r.keep(environment, stored{record: record.Clone(), version: written.ResourceVersion})
	return nil
}

// write creates the Secret, or updates it if it still has the version that was read.
func (r *Store) write(ctx context.Context, secret *corev1.Secret, version string) (*corev1.Secret, error) {
	if version != "" {
		secret.ResourceVersion = version
		written, err := r.secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: manifest.FieldManager})
		if !apierrors.IsNotFound(err) {
			return written, err
		}
		secret.ResourceVersion = "" // it was deleted
	}
	return r.secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: manifest.FieldManager})
}

// Delete removes the record of an environment. It returns no error if there is none.
func (r *Store) Delete(ctx context.Context, environment string) error {
	name := nameOf(environment)
	err := r.secrets.Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: cannot delete its record in Secret/%s/%s: %w", environment, r.namespace, name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, environment)
	return nil
}

// read reads the record of one environment again.
func (r *Store) read(ctx context.Context, environment string) (stored, error) {
	name := nameOf(environment)
	secret, err := r.secrets.Get(ctx, name, metav1.GetOptions{})
	var known stored
	switch {
	case err == nil:
		known = r.decode(environment, secret)
	case !apierrors.IsNotFound(err):
		return stored{}, fmt.Errorf("%s: cannot read its record in Secret/%s/%s: %w", environment, r.namespace, name, err)
	}
	r.keep(environment, known)
	return known, nil
}

func (r *Store) keep(environment string, known stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[environment] = known
}

func (r *Store) encode(environment string, record plan.Record) (*corev1.Secret, error) {
	var packed bytes.Buffer
	w, ok := r.packers.Get().(*gzip.Writer)
	if !ok {
		w = gzip.NewWriter(nil)
	}
	defer r.packers.Put(w)
	w.Reset(&packed)
	if err := json.NewEncoder(w).Encode(record); err != nil {
		return nil, fmt.Errorf("%s: cannot write its record: %w", environment, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("%s: cannot pack its record: %w", environment, err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:        nameOf(environment),
			Namespace:   r.namespace,
			Labels:      map[string]string{mark: "true"},
			Annotations: map[string]string{manifest.AnnotationEnvironment: environment},
		},
		Type: mark,
		Data: map[string][]byte{entry: packed.Bytes()},
	}, nil
}

func (r *Store) decode(environment string, secret *corev1.Secret) stored {
	known := stored{version: secret.ResourceVersion}
	if err := unpack(secret, &known.record); err != nil {
		known.record = plan.Record{}
		known.unreadable = r.unreadable(environment, secret.Name, err)
	}
	return known
}

func unpack(secret *corev1.Secret, record *plan.Record) error {
	packed, ok := secret.Data[entry]
	if !ok {
		return fmt.Errorf("it has no entry %q", entry)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(reader, maxSize))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, record)
}

func (r *Store) unreadable(environment, secret string, err error) *UnreadableError {
	return &UnreadableError{Environment: environment, Secret: r.namespace + "/" + secret, Err: err}
}

func isUnreadable(err error) bool {
	var unreadable *UnreadableError
	return errors.As(err, &unreadable)
}

// nameOf returns the name of the Secret that holds an environment's record.
func nameOf(environment string) string {
	name := "berth-record." + environment
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "berth-record." + manifest.Digest(environment)
	}
	return name
}

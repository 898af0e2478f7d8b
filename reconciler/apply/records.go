package apply

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
	// recordMark is the label of the Secrets that hold records, and their type. They do not bear
	// manifest.LabelEnvironment: they are not part of the environment, and nothing prunes them.
	recordMark = "berth.dev/record"
	// recordKey is the entry of the Secret: gzip over JSON.
	recordKey = "record.json.gz"
	// maxRecord bounds what an entry may unpack to.
	maxRecord = 64 << 20
)

// errRecordConflict says that somebody else wrote a record meanwhile. It has been read again: the pass
// is to be repeated.
var errRecordConflict = errors.New("the record was changed by somebody else meanwhile; the pass is repeated")

// UnreadableError says that a stored record cannot be read, and is treated as none: everything is
// applied once more. The next Save overwrites it.
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

// Records stores the record of every environment as a Secret in the agent's namespace. One Records is
// meant to be the only writer; that it is not is noticed.
type Records struct {
	secrets   typedcorev1.SecretInterface
	namespace string
	// packers has writers to be used again: a new one takes 800 kB for its tables.
	packers sync.Pool // of *gzip.Writer

	listing sync.Mutex
	listed  bool // what is not known does not exist

	mu    sync.Mutex
	known map[string]stored // by the name of the environment
}

// stored is a record as the cluster has it.
type stored struct {
	record     plan.Record
	version    string // of the Secret; empty when there is none
	unreadable error
}

// NewRecords returns the Records in a namespace.
func NewRecords(client typedcorev1.SecretsGetter, namespace string) *Records {
	return &Records{secrets: client.Secrets(namespace), namespace: namespace, known: map[string]stored{}}
}

// Load returns the record of an environment; the zero record when there is none, and with an
// *UnreadableError when there is one that cannot be read. The first Load reads all records there are with
// one request; after it none asks anybody.
func (r *Records) Load(ctx context.Context, environment string) (plan.Record, error) {
	if err := r.list(ctx); err != nil {
		return plan.Record{}, err
	}
	r.mu.Lock()
	known := r.known[environment]
	r.mu.Unlock()
	return known.record.Clone(), known.unreadable
}

// list reads all records unless that was done. Those who come meanwhile wait for the one request.
func (r *Records) list(ctx context.Context) error {
	r.listing.Lock()
	defer r.listing.Unlock()
	if r.listed {
		return nil
	}
	list, err := r.secrets.List(ctx, metav1.ListOptions{LabelSelector: recordMark + "=true"})
	if err != nil {
		return fmt.Errorf("reading the records in the namespace %q: %w", r.namespace, err)
	}
	for i := range list.Items {
		secret := &list.Items[i]
		// One that is not named after its environment is somebody's copy.
		if environment := secret.Annotations[manifest.AnnotationEnvironment]; secret.Name == recordName(environment) {
			r.keep(environment, r.decode(environment, secret))
		}
	}
	r.listed = true
	return nil
}

// Save stores a record unless that would change nothing. One that is no longer what Load returned is not
// overwritten: that is an error, and Load returns what is there now.
func (r *Records) Save(ctx context.Context, environment string, record plan.Record) error {
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
		return fmt.Errorf("%s: %w", environment, errRecordConflict)
	case err != nil:
		return fmt.Errorf("%s: cannot store its record in Secret/%s/%s: %w", environment, r.namespace, secret.Name, err)
	}
	r.keep(environment, stored{record: record.Clone(), version: written.ResourceVersion})
	return nil
}

// write creates the Secret, or updates it if it still is what it was.
func (r *Records) write(ctx context.Context, secret *corev1.Secret, version string) (*corev1.Secret, error) {
	if version != "" {
		secret.ResourceVersion = version
		written, err := r.secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: manifest.FieldManager})
		if !apierrors.IsNotFound(err) {
			return written, err
		}
		secret.ResourceVersion = "" // somebody deleted it
	}
	return r.secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: manifest.FieldManager})
}

// Delete removes the record of an environment; it is no error if there is none.
func (r *Records) Delete(ctx context.Context, environment string) error {
	name := recordName(environment)
	err := r.secrets.Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: cannot delete its record in Secret/%s/%s: %w", environment, r.namespace, name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, environment)
	return nil
}

// read brings what is known of one environment's record up to what the cluster has.
func (r *Records) read(ctx context.Context, environment string) (stored, error) {
	name := recordName(environment)
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

func (r *Records) keep(environment string, known stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[environment] = known
}

func (r *Records) encode(environment string, record plan.Record) (*corev1.Secret, error) {
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
			Name:        recordName(environment),
			Namespace:   r.namespace,
			Labels:      map[string]string{recordMark: "true"},
			Annotations: map[string]string{manifest.AnnotationEnvironment: environment},
		},
		Type: recordMark,
		Data: map[string][]byte{recordKey: packed.Bytes()},
	}, nil
}

func (r *Records) decode(environment string, secret *corev1.Secret) stored {
	known := stored{version: secret.ResourceVersion}
	if err := unpack(secret, &known.record); err != nil {
		known.record = plan.Record{}
		known.unreadable = r.unreadable(environment, secret.Name, err)
	}
	return known
}

func unpack(secret *corev1.Secret, record *plan.Record) error {
	packed, ok := secret.Data[recordKey]
	if !ok {
		return fmt.Errorf("it has no entry %q", recordKey)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(reader, maxRecord))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, record)
}

func (r *Records) unreadable(environment, secret string, err error) *UnreadableError {
	return &UnreadableError{Environment: environment, Secret: r.namespace + "/" + secret, Err: err}
}

func isUnreadable(err error) bool {
	var unreadable *UnreadableError
	return errors.As(err, &unreadable)
}

// recordName returns the name of the Secret with an environment's record.
func recordName(environment string) string {
	name := "berth-record." + environment
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "berth-record." + manifest.Digest(environment)
	}
	return name
}

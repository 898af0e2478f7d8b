package fleet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/remote"
)

// member is a cluster of a Fleet, whose lock guards all fields.
type member struct {
	fleet *Fleet
	name  string
	// digest is that of the kubeconfig, and born when its Secret was created.
	digest [sha256.Size]byte
	born   time.Time
	config remote.Config
	// unread is why there is no kubeconfig.
	unread string
	// link is the connection that the kubeconfig describes; nil: there is none.
	link *link
	// identity is that of the cluster; empty: it was not read yet.
	identity types.UID
	// passes is the Reconciler; nil before the first connection. usable says that passes may be made now. trouble is why they
	// may not; empty: that is not known yet.
	passes  *reconciler.Reconciler
	usable  bool
	trouble string
}

// read takes note of the member's Secret. If its kubeconfig changed, a new connection replaces the earlier one.
func (m *member) read(secret *corev1.Secret, err error) {
	if err != nil {
		m.lose(unreadable(m.name, err))
		return
	}
	m.born = secret.CreationTimestamp.Time
	digest := digestOf(secret)
	if digest == m.digest {
		return
	}
	config, err := remote.Parse(secret)
	if err != nil {
		m.lose(err.Error())
		m.digest = digest
		return
	}
	m.lose("")
	m.digest, m.config = digest, config
	m.start()
}

// unreadable returns why a Secret cannot be read.
func unreadable(name string, err error) string {
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("the Secret %[1]s with the kubeconfig of the cluster %[1]s does not exist; create it: berth cluster add %[1]s --context CONTEXT", name)
	}
	return fmt.Sprintf("the Secret %s with the kubeconfig of the cluster %s cannot be read: %v", name, name, err)
}

func digestOf(secret *corev1.Secret) [sha256.Size]byte {
	hash := sha256.New()
	for _, key := range []string{remote.KeyValue, remote.KeyKubeconfig} {
		value, ok := secret.Data[key]
		fmt.Fprintf(hash, "%t %d ", ok, len(value))
		hash.Write(value)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// lose ends the connection, because its kubeconfig changed or is gone.
func (m *member) lose(unread string) {
	m.stop()
	m.digest, m.unread, m.config = [sha256.Size]byte{}, unread, remote.Config{}
	m.identity, m.passes, m.usable, m.trouble = "", nil, false, ""
}

func (m *member) stop() {
	if m.link != nil {
		m.link.cancel()
		m.link = nil
	}
}

// start connects, if the Fleet runs and there is a kubeconfig.
func (m *member) start() {
	f := m.fleet
	if f.run == nil || f.run.Err() != nil || m.config.REST == nil || m.link != nil {
		return
	}
	ctx, cancel := context.WithCancel(f.run)
	m.link = &link{member: m, cancel: cancel, doubt: make(chan struct{}, 1), config: m.config}
	f.running.Go(func() { m.link.run(ctx) })
}

// why returns why the cluster cannot be used; empty: it can, or that is not known yet.
func (m *member) why() string {
	return cmp.Or(m.unread, m.alias(), m.trouble)
}

// alias returns why the cluster may not be used under this name: it has another one.
func (m *member) alias() string {
	f := m.fleet
	switch rival := f.rival(m); {
	case m.identity != "" && m.identity == f.own:
		return fmt.Sprintf("the kubeconfig in Secret/%s leads to the agent's own cluster; for that cluster, remove cluster from the entries that name %s", m.name, m.name)
	case rival != nil:
		return fmt.Sprintf("the kubeconfigs in Secret/%s and Secret/%s lead to the same cluster; nothing is done under the name %s, whose Secret is newer; name one of the two in all entries", rival.name, m.name, m.name)
	}
	return ""
}

// ends returns when the credentials end, if that is soon.
func (m *member) ends(now time.Time) string {
	at := m.config.Expires
	if at.IsZero() || now.Add(soon).Before(at) {
		return ""
	}
	verb := "ends"
	if !now.Before(at) {
		verb = "ended"
	}
	return fmt.Sprintf("%s of the cluster %s %s at %s; renew it: berth cluster add %s --context CONTEXT",
		cmp.Or(m.config.ExpiresWhat, "the credential"), m.name, verb, at.UTC().Format(time.RFC3339), m.name)
}

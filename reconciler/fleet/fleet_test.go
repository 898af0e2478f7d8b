package fleet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/remote"
)

var noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

// Users see a cause in a status. It must not change while nothing else does.
func TestTheCauseOfAnOutageHasNoPortsAndNoTimes(t *testing.T) {
	address := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 6443}
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	reset := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 51234}, Addr: address, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	expired := x509.CertificateInvalidError{Cert: &x509.Certificate{NotBefore: noon.Add(-time.Hour), NotAfter: noon}, Reason: x509.Expired, Detail: "current time 12:01"}
	for _, test := range []struct {
		err  error
		want string
	}{
		{&url.Error{Op: "Get", URL: "https://192.0.2.1:6443/api", Err: refused}, "cannot connect to 192.0.2.1:6443: connect: connection refused"},
		{&url.Error{Op: "Get", URL: "https://192.0.2.1:6443/api", Err: reset}, "the connection broke: read: connection reset by peer"},
		{fmt.Errorf("tls: failed to verify certificate: %w", expired), "the certificate of its server is not valid now, but from 2026-03-04T11:00:00Z to 2026-03-04T12:00:00Z"},
		{&url.Error{Op: "Get", Err: context.DeadlineExceeded}, "its API server does not answer"},
		{apierrors.NewServiceUnavailable("no backend"), "no backend"},
		{&url.Error{Op: "Get", Err: errors.New("EOF")}, "EOF"},
	} {
		if got := causeOf(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

func TestWhatUsersSeeOfAnOutage(t *testing.T) {
	down := outage{since: noon, cause: "cannot connect"}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, "kube-system", errors.New("no"))
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("another cause"), "cluster staging cannot be reached since 2026-03-04T12:00:00Z: cannot connect"},
		{apierrors.NewUnauthorized("Unauthorized"), "cluster staging refuses the agent's credentials since 2026-03-04T12:00:00Z: Unauthorized; renew them: berth cluster add staging --context CONTEXT"},
		{&tooOldError{"v1.30.2"}, "cluster staging cannot be used since 2026-03-04T12:00:00Z: Kubernetes v1.30.2 is too old: Berth needs 1.32 or newer; upgrade the cluster"},
		{forbidden, `cluster staging refuses the agent since 2026-03-04T12:00:00Z: namespaces "kube-system" is forbidden: no; grant it its rights: berth cluster add staging --context CONTEXT`},
	} {
		if got := down.text("staging", test.err); got != test.want {
			t.Errorf("it is %q, want %q", got, test.want)
		}
	}
}

// A cluster only says Unauthorized. The kubeconfig says when the credentials ended.
func TestWhatUsersSeeOfCredentialsThatHaveEnded(t *testing.T) {
	refused := apierrors.NewUnauthorized("Unauthorized")
	const before = "cluster staging refuses the agent's credentials since 2026-03-04T12:00:00Z: "
	const after = "; renew them: berth cluster add staging --context CONTEXT"
	for _, test := range []struct {
		what string
		ends time.Time
		err  error
		want string
	}{
		{"the token", noon.Add(-time.Hour), refused, before + "the token ended at 2026-03-04T11:00:00Z" + after},
		{"the client certificate", noon, refused, before + "the client certificate ended at 2026-03-04T12:00:00Z" + after},
		{"the token", noon.Add(time.Second), refused, before + "Unauthorized" + after},
		{"", time.Time{}, refused, before + "Unauthorized" + after},
		{"the token", noon.Add(-time.Hour), errors.New("no route"), "cluster staging cannot be reached since 2026-03-04T12:00:00Z: no route"},
	} {
		f := New(Config{Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler), Changed: func(context.Context, string) {}})
		m := &member{fleet: f, name: "staging"}
		m.link = &link{member: m, config: remote.Config{Expires: test.ends, ExpiresWhat: test.what}}
		m.link.fail(t.Context(), test.err)
		if got := m.why(); got != test.want {
			t.Errorf("%s, which ends at %s: %q, want %q", test.what, test.ends, got, test.want)
		}
	}
}

func TestCredentialsAreReportedAWeekBeforeTheyEnd(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		left time.Duration
		want string
	}{
		{8 * day, ""},
		{7 * day, "the token of the cluster staging ends at 2026-03-11T12:00:00Z; renew it: berth cluster add staging --context CONTEXT"},
		{-day, "the token of the cluster staging ended at 2026-03-03T12:00:00Z; renew it: berth cluster add staging --context CONTEXT"},
	} {
		m := &member{name: "staging", config: remote.Config{Expires: noon.Add(test.left), ExpiresWhat: "the token"}}
		if got := m.ends(noon); got != test.want {
			t.Errorf("with %s left: %q, want %q", test.left, got, test.want)
		}
	}
	if got := (&member{name: "staging"}).ends(noon); got != "" {
		t.Errorf("credentials without an end: %q", got)
	}
}

// Which of two names stays must not depend on the order in which the clusters answer.
func TestTheOlderOfTwoNamesStays(t *testing.T) {
	f := New(Config{})
	add := func(name string, identity types.UID, born time.Time) *member {
		m := &member{fleet: f, name: name, identity: identity, born: born}
		f.members[name] = m
		return m
	}
	f.own = "own"
	old, young, same := add("b", "1", noon), add("a", "1", noon.Add(time.Hour)), add("c", "1", noon)
	alone, unknown, home := add("alone", "2", noon), add("unknown", "", noon), add("home", "own", noon)
	for _, m := range []*member{old, alone, unknown} {
		if text := m.alias(); text != "" {
			t.Errorf("%s: %s", m.name, text)
		}
	}
	for m, part := range map[*member]string{
		young: "Secret/b and Secret/a lead to the same cluster; nothing is done under the name a",
		same:  "Secret/b and Secret/c lead to the same cluster; nothing is done under the name c",
		home:  "Secret/home leads to the agent's own cluster",
	} {
		if text := m.alias(); !strings.Contains(text, part) {
			t.Errorf("%s: %q", m.name, text)
		}
	}
}

package membership

import (
	"context"
	"fmt"
	"time"

	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/cmd/internal/installation"
)

// notice is how long before its end a credential is reported.
const notice = 7 * 24 * time.Hour

// Check checks a cluster: the connection, the version, when the credentials end, the rights of the agent's account and of the
// environments' accounts, and the admission policies.
func (m *Member) Check(ctx context.Context, now time.Time) []checkup.Finding {
	about := "cluster " + m.Name
	again := "berth cluster add " + m.Name + " --context CONTEXT"
	var all []checkup.Finding
	add := func(r checkup.Result, check, format string, args ...any) {
		all = append(all, checkup.Finding{Result: r, About: about, Check: check, Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case m.Problem != "":
		add(checkup.Problem, "connection", "%s", m.Problem)
	case m.Unknown != "":
		add(checkup.Unknown, "connection", "%s; whether the agent reaches it, its environments show: berth get --cluster %s", m.Unknown, m.Name)
	default:
		add(checkup.OK, "connection", "%s answers this computer, and is the cluster %s", m.Server, m.Identity)
	}
	switch left := m.Expires.Sub(now); {
	case m.Server == "":
	case m.Expires.IsZero():
		add(checkup.OK, "credentials", "they do not end by themselves")
	case left <= 0:
		add(checkup.Problem, "credentials", "%s expired on %s; replace it: %s", m.ExpiresWhat, m.Expires.Format(time.RFC3339), again)
	case left <= notice:
		add(checkup.Warning, "credentials", "%s expires on %s; replace it: %s", m.ExpiresWhat, m.Expires.Format(time.RFC3339), again)
	default:
		add(checkup.OK, "credentials", "%s expires on %s", m.ExpiresWhat, m.Expires.Format(time.DateOnly))
	}
	if m.Version == nil {
		return all
	}
	version := checkup.Cluster(m.Version)
	version.About, version.Check = about, "version"
	all = append(all, version)
	objects, err := installation.AccountObjects("")
	if err != nil {
		add(checkup.Unknown, "rights", "the manifests in this program cannot be read: %v", err)
		return all
	}
	account := &checkup.Account{Kubernetes: m.Client, As: m.as, About: about, Hint: "grant it again: " + again}
	if !m.added {
		account.Hint = fmt.Sprintf("create what the agent needs there: berth cluster add %s --export | kubectl apply --server-side --context CONTEXT -f -", m.Name)
	}
	return append(all, account.Check(ctx, objects, m.running)...)
}

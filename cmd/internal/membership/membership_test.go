package membership

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/cmd/internal/checkup"
)

func TestAClusterWithTwoNamesIsNamed(t *testing.T) {
	members := []Member{
		{Name: "east", Identity: "1"}, {Name: "home", Identity: "0"}, {Name: "other", Identity: "1"},
		{Name: "broken", Problem: "it is broken"}, {Name: "away", Unknown: "it is away"}, {Name: "west", Identity: "2"},
	}
	compare(members, "0")
	want := map[string]string{
		"home": "this is the cluster of the agent itself; leave cluster out of its entries", "broken": "it is broken",
		"other": "this is the same cluster as east; use one name in all entries",
	}
	for _, m := range members {
		if m.Problem != want[m.Name] {
			t.Errorf("%s: %q, want %q", m.Name, m.Problem, want[m.Name])
		}
	}
}

// Credentials are reported a week before they end.
func TestCredentialsThatEnd(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		ends time.Time
		want string
	}{
		{time.Time{}, "ok credentials: they do not end by themselves"},
		{now.Add(30 * 24 * time.Hour), "ok credentials: the token expires on 2026-06-03"},
		{now.Add(6 * 24 * time.Hour), "warning credentials: the token expires on 2026-05-10T12:00:00Z; replace it: berth cluster add staging --context CONTEXT"},
		{now, "problem credentials: the token expired on 2026-05-04T12:00:00Z; replace it: berth cluster add staging --context CONTEXT"},
	} {
		m := &Member{Name: "staging", Server: "https://10.0.0.1:6443", Expires: test.ends, ExpiresWhat: "the token"}
		var got []string
		for _, f := range m.Check(t.Context(), now) {
			got = append(got, fmt.Sprintf("%s %s: %s", f.Result, f.Check, f.Message))
		}
		if !slices.Contains(got, test.want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), test.want)
		}
	}
}

// A cluster that this computer cannot reach may be reachable for the agent.
func TestAnUnreachableClusterIsNoProblem(t *testing.T) {
	m := &Member{Name: "staging", Unknown: "cannot be reached from this computer: no route to host"}
	found := m.Check(t.Context(), time.Now())
	if len(found) != 1 || found[0].Result != checkup.Unknown || !strings.HasSuffix(found[0].Message, "whether the agent reaches it, its environments show: berth get --cluster staging") {
		t.Errorf("it is found: %+v", found)
	}
}

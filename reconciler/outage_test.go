package reconciler

import (
	"context"
	"errors"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/render"
)

// remoteKey decrypts files that begin with a mark, as long as its service is up.
type remoteKey struct{ down bool }

const sealed = "# sealed\n"

var errDown = errors.New("its remote key did not decrypt its data key")

// Temporary reports that a retry may succeed.
func (remoteKeyError) Temporary() bool { return true }

type remoteKeyError struct{ error }

func (*remoteKey) Encrypted(_ string, content []byte) bool {
	return strings.HasPrefix(string(content), sealed)
}

func (k *remoteKey) Open(_ context.Context, _ string, content []byte) (render.Opened, error) {
	if k.down {
		return render.Opened{}, remoteKeyError{errDown}
	}
	return render.Opened{Content: content[len(sealed):], Veiled: content[len(sealed):]}, nil
}

// A key service that does not answer says nothing about a commit. What runs is kept and corrected, the status reports
// the outage, and no sync fails. When the service answers again, the commit is applied.
func TestARemoteKeyThatDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	key := &remoteKey{}
	w.env.Decrypter = key
	secret := func(value string) string {
		return sealed + "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {v: " + value + "}\n"
	}
	key.down = true
	w.commits("db.yaml", secret("one"), "a.yaml", configMap("a", "one"))
	if o := w.becomes(plan.Waiting, "db.yaml: cannot be decrypted: "+errDown.Error()); o.Err == nil || len(o.Results) > 0 || found(o).AppliedCommit != "" {
		t.Errorf("before anything ran: %+v", o)
	}
	key.down = false
	good := found(w.becomes(plan.Settled)).AppliedCommit

	key.down = true
	w.commits("db.yaml", secret("two"), "a.yaml", configMap("a", "two"))
	if o := w.becomes(plan.Waiting, errDown.Error()); o.Err == nil || found(o).HealthyCommit != good || found(o).Total != 3 || found(o).Healthy != 3 || !found(o).About.Time.IsZero() {
		t.Errorf("while another commit runs: %+v", o)
	}
	w.edits("ConfigMap/a", `{"data":{"v":"by hand"}}`)
	w.passes("the correction", func(Outcome) bool { return w.value("a", "v") == "one" })

	w.restarts()
	w.env.Decrypter = key
	if o := w.becomes(plan.Waiting, errDown.Error()); o.Err == nil || len(o.Results) > 0 {
		t.Errorf("after a restart: %+v", o)
	}
	key.down = false
	w.becomes(plan.Settled)
	if got := w.value("a", "v"); got != "two" {
		t.Errorf("once the key answers again, the ConfigMap says %q", got)
	}
}

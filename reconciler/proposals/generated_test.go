package proposals

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/internal/kustomizetest"
	"berth.dev/berth/reconciler/render"
)

func TestMain(m *testing.M) {
	kustomizetest.Serve()
	os.Exit(m.Run())
}

// What Kustomize generates from encrypted files has a hash in its name that only the keys would tell.
func TestGeneratedObjects(t *testing.T) {
	sealed, err := os.ReadFile("../../secrets/testdata/golden/db.env")
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(sealed), "ENC[AES256_GCM,data:") + len("ENC[AES256_GCM,data:")
	changed := string(sealed[:at]) + "AAAA" + string(sealed[at+4:])
	const kustomization = `resources: [app.yaml]
secretGenerator:
- {name: db, envs: [db.env]}
configMapGenerator:
- {name: settings, literals: [a=VALUE]}
`
	const app = `apiVersion: v1
kind: Pod
metadata: {name: app}
spec: {containers: [{name: app, image: a:1, envFrom: [{secretRef: {name: db}}, {configMapRef: {name: settings}}]}]}
`
	commit := func(secret, value string) map[string]string {
		return map[string]string{"k8s/kustomization.yaml": strings.Replace(kustomization, "VALUE", value, 1), "k8s/app.yaml": app, "k8s/db.env": secret}
	}
	s := drafts(t, map[string]map[string]string{"target": commit(string(sealed), "one"), "secret": commit(changed, "one"), "both": commit(changed, "two")})
	s.adds = func(o *render.Options) { o.Kustomize = kustomizetest.Builder() }
	const hash = " because: its name ends with a hash of its content, so it gets a new one"
	p := s.draft(t, Want{Target: "target", Commit: "secret"})
	if diff := cmp.Diff([]string{
		"changed Secret/db-… 1 hidden" + hash + " unproved: it is encrypted, and the plan does not decrypt it",
		"changed Pod/app [spec.containers[app].envFrom[0].secretRef.name db-…->db-…]",
	}, lines(p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(s.foreseen[0].Unnamed) != 1 {
		t.Errorf("unnamed are %v", s.foreseen[0].Unnamed)
	}
	p = s.draft(t, Want{Target: "target", Commit: "both"})
	if !strings.HasPrefix(p.Changes[0].Object, "ConfigMap/settings-") || len(p.Changes[0].Fields) != 1 || p.Changes[0].Fields[0].New != "two" {
		t.Errorf("the ConfigMap is %v", p.Changes[0])
	}
}

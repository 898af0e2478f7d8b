package manifest_test

import (
	"strings"
	"testing"

	"berth.dev/berth/reconciler/manifest"
)

func TestAProofIsForOneObjectOfOneEnvironment(t *testing.T) {
	const environment, content = "inst.posts-main", "1:abc"
	api := manifest.Key{Group: "apps", Kind: "Deployment", Namespace: "posts", Name: "api"}
	prover := manifest.NewProver([]byte("key"))
	mark := prover.Mark(environment, api, content)
	digest, proof := manifest.ReadMark(mark)
	if digest != content || proof == "" || mark != prover.Mark(environment, api, content) {
		t.Fatalf("the mark %q has the digest %q and the proof %q", mark, digest, proof)
	}
	changed := func(f func(*manifest.Key)) manifest.Key { k := api; f(&k); return k }
	for _, c := range []struct {
		name        string
		prover      manifest.Prover
		environment string
		key         manifest.Key
		digest      string
		proof       string
		want        bool
	}{
		{"itself", prover, environment, api, content, proof, true},
		{"under another name", prover, environment, changed(func(k *manifest.Key) { k.Name = "api-2" }), content, proof, false},
		{"in another namespace", prover, environment, changed(func(k *manifest.Key) { k.Namespace = "copy" }), content, proof, false},
		{"of another kind", prover, environment, changed(func(k *manifest.Key) { k.Kind = "StatefulSet" }), content, proof, false},
		{"of another group", prover, environment, changed(func(k *manifest.Key) { k.Group = "example.com" }), content, proof, false},
		{"of another environment", prover, "inst.posts-other", api, content, proof, false},
		{"with another digest", prover, environment, api, "1:abd", proof, false},
		{"with a part of the proof", prover, environment, api, content, proof[:20], false},
		{"without a proof", prover, environment, api, content, "", false},
		{"of another installation", manifest.NewProver([]byte("other key")), environment, api, content, proof, false},
		{"to who has no key", manifest.Prover{}, environment, api, content, proof, false},
		{"to who believes everything", manifest.Credulous(), environment, api, "1:other", "anything", true},
		{"to who believes everything, without one", manifest.Credulous(), environment, api, content, "", false},
		{"moved between name and namespace", prover, environment,
			changed(func(k *manifest.Key) { k.Namespace, k.Name = "post", "sapi" }), content, proof, false},
	} {
		if got := c.prover.Made(c.environment, c.key, c.digest, c.proof); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
	if got := (manifest.Prover{}).Mark(environment, api, content); got != content {
		t.Errorf("who has no key makes the mark %q", got)
	}
	if strings.Contains(proof, ".") {
		t.Errorf("the proof %q has the separator in it", proof)
	}
}

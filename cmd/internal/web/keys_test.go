package web_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/secrets"
)

func TestABannerNamesEnvironmentsWithoutKeys(t *testing.T) {
	noSecret := "the Secret berth/posts-keys, with which the entry review decrypts, does not exist; create it with the keys"
	for name, message := range map[string]string{
		"no key Secret":             noSecret,
		"another recipient":         "k8s/secret.yaml: " + (&secrets.Error{Reason: secrets.NoKey, File: "k8s/secret.yaml", Recipients: []string{"age1abc"}, Held: []string{"age1def"}}).Error(),
		"a remote key not allowed":  (&secrets.Error{Reason: secrets.NotAllowed, Detail: "arn:aws:kms"}).Error(),
		"a remote key that is down": (&secrets.Error{Reason: secrets.Unreachable, Detail: "no answer"}).Error(),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, &site{}, repository(), environment("a", v1alpha1.ReasonFailed, message), environment("b", v1alpha1.ReasonFailed, "Deployment/api: it crashes"))
			s.shows("/", "posts: keys are missing for 1 environment<", `<li><a href="/env/posts.review.a">posts.review.a</a></li>`)
			s.hides("/", `<li><a href="/env/posts.review.b">`)
		})
	}
	well := open(t, &site{}, environment("a", v1alpha1.ReasonHealthy, noSecret), environment("b", v1alpha1.ReasonFailed, (&secrets.Error{Reason: secrets.Tampered, Detail: "its MAC"}).Error()))
	well.hides("/", "keys are missing")
}

// A browser loads only the row of what changes, unless the change concerns more.
func TestTheBannerOfMissingKeysGoes(t *testing.T) {
	env := environment("a", v1alpha1.ReasonFailed, "k8s/a.yaml: no available key decrypts it: it is encrypted for age1abc")
	s := open(t, &site{}, env)
	s.shows("/", "keys are missing for 1 environment")
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	events := s.listen(server, "/live?shown="+s.version("/"))
	env.Status.Conditions[0].Reason, env.Status.Conditions[0].Message = v1alpha1.ReasonHealthy, ""
	if err := s.Update(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if got := <-events; !strings.Contains(got, `"whole":true`) {
		t.Errorf("the change is %s", got)
	}
	s.hides("/", "keys are missing")
}

// A key that is missing for a whole entry concerns all its branches.
func TestTheBannerOfMissingKeysIsShort(t *testing.T) {
	objects := []client.Object{repository()}
	for n := range 100 {
		objects = append(objects, environment(fmt.Sprintf("b%d", n), v1alpha1.ReasonFailed, fmt.Sprintf("k8s/%d.yaml: no available key decrypts it: it is encrypted for age1abc", n)))
	}
	s := open(t, &site{}, objects...)
	s.shows("/", "keys are missing for 100 environments", "and 97 more reasons", "The first 12 are below")
	if n := strings.Count(s.get("/"), `<li><a href="/env/`); n != 12 {
		t.Errorf("it has %d links", n)
	}
}

package acting_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/acting"
)

// patches keeps the patches that an actor sends.
type patches []map[string]map[string]any

// Patch keeps a patch.
func (p *patches) Patch(_ context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	var fields map[string]map[string]any
	err = json.Unmarshal(data, &fields)
	*p = append(*p, fields)
	return err
}

// annotations returns those of the last patch.
func (p patches) annotations() map[string]any {
	all, _ := p[len(p)-1]["metadata"]["annotations"].(map[string]any)
	return all
}

func named(user string) func(context.Context) string {
	return func(context.Context) string { return user }
}

func TestAnActSaysWhoActs(t *testing.T) {
	env := &v1alpha1.Environment{}
	request := func(annotation string) func(acting.Actor) error {
		return func(a acting.Actor) error {
			_, err := a.Request(t.Context(), env, annotation)
			return err
		}
	}
	set := func(field string, value any) func(acting.Actor) error {
		return func(a acting.Actor) error { return a.Set(t.Context(), env, field, value) }
	}
	for action, do := range map[string]func(acting.Actor) error{
		"retry": request(v1alpha1.AnnotationRetry), "confirm": request(v1alpha1.AnnotationConfirmed),
		"pin": set("pin", "1a2b"), "unpin": set("pin", nil), "suspend": set("suspend", true), "resume": set("suspend", nil),
	} {
		sent := &patches{}
		a := acting.Actor{Client: sent, Name: "berth-cli", User: named("ada@example.com")}
		ids := map[string]bool{}
		for range 2 {
			if err := do(a); err != nil {
				t.Fatal(err)
			}
			by, _ := sent.annotations()[v1alpha1.AnnotationRequestedBy].(string)
			id, rest, _ := strings.Cut(by, " ")
			if ids[id] = true; !strings.HasPrefix(id, "cli-") || rest != action+" ada@example.com" {
				t.Errorf("%s: the annotation is %q", action, by)
			}
		}
		if len(ids) != 2 || len(*sent) != 2 {
			t.Errorf("%s: two acts have %d ids and %d writes", action, len(ids), len(*sent))
		}
		a.User = named("")
		if err := do(a); err != nil {
			t.Fatal(err)
		}
		if by, isThere := sent.annotations()[v1alpha1.AnnotationRequestedBy]; !isThere || by != nil {
			t.Errorf("%s: without a name, the annotation of another user stays", action)
		}
	}
}

// A push begins the sync that a listing finds, and a Repository has no history.
func TestRequestsWithoutAHistoryNameNobody(t *testing.T) {
	sent := &patches{}
	a := acting.Actor{Client: sent, Name: "berth-cli", User: named("ada")}
	for object, annotation := range map[client.Object]string{
		&v1alpha1.Environment{}: v1alpha1.AnnotationRequested,
		&v1alpha1.Repository{}:  v1alpha1.AnnotationConfirmed,
	} {
		if _, err := a.Request(t.Context(), object, annotation); err != nil {
			t.Fatal(err)
		}
		if got := sent.annotations(); len(got) != 1 || got[annotation] == nil {
			t.Errorf("%T: the annotations are %v", object, got)
		}
	}
}

func TestSelfIsWhoTheAPIServerSays(t *testing.T) {
	clients := fake.NewClientset()
	refuses := false
	clients.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		if refuses {
			return true, nil, errors.New("it is not served")
		}
		review := &authenticationv1.SelfSubjectReview{}
		review.Status.UserInfo.Username = "ada"
		return true, review, nil
	})
	self := acting.Self(clients.AuthenticationV1().SelfSubjectReviews())
	if got := self(t.Context()); got != "ada" {
		t.Errorf("it is %q", got)
	}
	if refuses = true; self(t.Context()) != "" {
		t.Error("without an answer there is a name")
	}
}

package observed_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/observed"
)

// Berth alone owns the claimed fields, so that its next apply removes those that Git does not set.
func TestClaim(t *testing.T) {
	paused, claimed := `{"f:spec":{"f:paused":{}}}`, `{"f:spec":{"f:paused":{},"f:strategy":{}}}`
	old := entry("kubectl-edit", `{"f:spec":{"f:paused":{},"f:replicas":{}}}`)
	old.APIVersion = "apps/v1beta1"
	for _, test := range []struct {
		name    string
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		{"without an owner", nil, `berth ` + claimed},
		{"Berth's, beside what it has", []metav1.ManagedFieldsEntry{entry("berth", `{"f:spec":{"f:replicas":{}}}`)}, `berth {"f:spec":{"f:paused":{},"f:replicas":{},"f:strategy":{}}}`},
		{"another manager's, which keeps the rest", []metav1.ManagedFieldsEntry{entry("operator", `{"f:spec":{"f:paused":{},"f:replicas":{}}}`)}, `operator {"f:spec":{"f:replicas":{}}}; berth ` + claimed},
		{"another manager's, which keeps nothing", []metav1.ManagedFieldsEntry{entry("operator", paused)}, `berth ` + claimed},
		{"all below a claimed field", []metav1.ManagedFieldsEntry{entry("operator", `{"f:spec":{"f:replicas":{},"f:strategy":{"f:type":{}}}}`)}, `operator {"f:spec":{"f:replicas":{}}}; berth ` + claimed},
		{"a struct that contained nothing else", []metav1.ManagedFieldsEntry{entry("operator", `{"f:data":{},"f:spec":{".":{},"f:paused":{}}}`)}, `operator {"f:data":{}}; berth ` + claimed},
		{"a struct that contains other fields", []metav1.ManagedFieldsEntry{entry("operator", `{"f:spec":{".":{},"f:paused":{},"f:replicas":{}}}`)}, `operator {"f:spec":{".":{},"f:replicas":{}}}; berth ` + claimed},
		{"all of another version of the API", []metav1.ManagedFieldsEntry{old}, `berth ` + claimed},
		{"nothing of a subresource", []metav1.ManagedFieldsEntry{entry("operator:scale", paused)}, `operator ` + paused + `; berth ` + claimed},
	} {
		t.Run(test.name, func(t *testing.T) {
			entries, err := observed.Claim(test.entries, set(t, claimed), "apps/v1")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Manager+" "+e.FieldsV1.GetRawString())
			}
			if text := strings.Join(got, "; "); text != test.want {
				t.Errorf("got  %s\nwant %s", text, test.want)
			}
			if last := entries[len(entries)-1]; last.APIVersion != "apps/v1" || last.Operation != metav1.ManagedFieldsOperationApply {
				t.Errorf("Berth owns them as %+v", last)
			}
		})
	}
}

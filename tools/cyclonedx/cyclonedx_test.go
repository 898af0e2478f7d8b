package cyclonedx

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"
	"time"
)

var (
	serial = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	purls  = regexp.MustCompile(`^pkg:golang/[^@ ]+@[^@ ]+$`)
	digest = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// The rules of the schema that a consumer would notice: required fields, forms, and references that resolve.
func TestTheBOMOfThisProgramIsValid(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	bom, err := Of(self, "v1.2.3", date)
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := bom.Write(&first); err != nil {
		t.Fatal(err)
	}
	again, err := Of(self, "v1.2.3", date)
	if err == nil {
		err = again.Write(&second)
	}
	if err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the same program has another BOM: %v", err)
	}
	var read BOM
	decoder := json.NewDecoder(&first)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		t.Fatal(err)
	}
	switch {
	case read.Format != "CycloneDX" || read.SpecVersion != "1.6" || read.Version != 1 || !serial.MatchString(read.SerialNumber):
		t.Errorf("the head is %q %q %d %q", read.Format, read.SpecVersion, read.Version, read.SerialNumber)
	case read.Metadata.Timestamp != "2026-01-02T03:04:05Z" || read.Metadata.Component.Type != "application" || read.Metadata.Component.Version != "v1.2.3":
		t.Errorf("the program is %+v", read.Metadata)
	case len(read.Metadata.Component.Hashes) != 1 || !digest.MatchString(read.Metadata.Component.Hashes[0].Content):
		t.Errorf("its hashes are %v", read.Metadata.Component.Hashes)
	}
	refs := map[string]bool{read.Metadata.Component.Ref: true}
	for _, c := range read.Components {
		if c.Type != "library" || c.Name == "" || c.Version == "" || !purls.MatchString(c.PURL) || refs[c.Ref] {
			t.Errorf("a component is %+v, or its reference is not unique", c)
		}
		refs[c.Ref] = true
	}
	if !refs["pkg:golang/stdlib@"+read.Components[0].Version] {
		t.Errorf("the standard library is missing among %v", refs)
	}
	if len(read.Dependencies) != len(refs) || len(read.Dependencies[0].DependsOn) != len(read.Components) {
		t.Errorf("%d dependencies of %d references", len(read.Dependencies), len(refs))
	}
	for _, d := range read.Dependencies {
		for _, ref := range append(d.DependsOn, d.Ref) {
			if !refs[ref] {
				t.Errorf("%s is no component", ref)
			}
		}
	}
}

func TestWhatIsNoGoProgramHasNoBOM(t *testing.T) {
	if _, err := Of("cyclonedx_test.go", "v1", time.Time{}); err == nil {
		t.Error("a text has a BOM")
	}
}

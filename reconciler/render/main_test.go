package render_test

import (
	"os"
	"testing"

	"berth.dev/berth/internal/kustomizetest"
)

func TestMain(m *testing.M) {
	kustomizetest.Serve()
	os.Exit(m.Run())
}

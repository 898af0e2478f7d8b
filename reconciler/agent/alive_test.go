package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/environments"
)

// TestAStuckAgentIsNotAlive deadlocks every pass: the decrypter never answers.
func TestAStuckAgentIsNotAlive(t *testing.T) {
	w := newWorld(t)
	w.follow()
	w.healthy("main")
	if err := w.agent.alive(nil); err != nil {
		t.Errorf("an agent with nothing to do: %v", err)
	}
	w.agent.stop()
	w.stuckAfter = 100 * time.Millisecond
	release := make(chan struct{})
	w.keys = func(client.Reader) environments.Keys {
		return func(context.Context, *types.NamespacedName, []string) (reconciler.Decrypter, string, error) {
			<-release
			return nil, "", errors.New("it answered at last")
		}
	}
	w.start()
	t.Cleanup(func() { close(release) }) // before the agent is stopped
	w.eventually("the agent reports that it is stuck", func() bool {
		err := w.agent.alive(nil)
		return err != nil && strings.Contains(err.Error(), "the controller environment is stuck")
	})
}

package agent

import "testing"

func TestNobodyIsReadyBeforeWebhooksAreServed(t *testing.T) {
	w := &webhooks{}
	if err := w.ready(nil); err == nil {
		t.Error("ready before it listens")
	}
	w.listening.Store(true)
	if err := w.ready(nil); err != nil {
		t.Error(err)
	}
}

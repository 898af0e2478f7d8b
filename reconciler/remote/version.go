package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/version"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// OldestMinor is the oldest minor version of Kubernetes 1 that Berth supports.
const OldestMinor = 32

// Version returns the version of a cluster's API server.
func Version(ctx context.Context, core typedcorev1.CoreV1Interface) (*version.Info, error) {
	text, err := core.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	server := &version.Info{}
	if err := json.Unmarshal(text, server); err != nil {
		return nil, fmt.Errorf("reading the version of the API server: %w", err)
	}
	return server, nil
}

// Minor returns the minor version of a Kubernetes 1. It reports false for anything else.
func Minor(server *version.Info) (int, bool) {
	minor, err := strconv.Atoi(strings.TrimRight(server.Minor, "+"))
	return minor, err == nil && server.Major == "1"
}

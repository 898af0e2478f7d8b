package agent

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
)

// mapper knows where kinds are served. Unlike the manager's, it can be told to look anew, which it takes to
// notice that a CRD serves another version now. Of a group that cannot be discovered, such as an aggregated API
// whose server is away, it does not say that its kinds do not exist.
type mapper struct {
	*restmapper.DeferredDiscoveryRESTMapper
	discovery discovery.DiscoveryInterface
}

func newMapper(client discovery.DiscoveryInterface) *mapper {
	cached := memory.NewMemCacheClient(client)
	return &mapper{restmapper.NewDeferredDiscoveryRESTMapper(cached), cached}
}

// RESTMapping returns where a kind is served.
func (m *mapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	mapping, err := m.DeferredDiscoveryRESTMapper.RESTMapping(gk, versions...)
	if !meta.IsNoMatchError(err) {
		return mapping, err
	}
	_, _, partial := m.discovery.ServerGroupsAndResources()
	failed, _ := discovery.GroupDiscoveryFailedErrorGroups(partial)
	for gv, cause := range failed {
		if gv.Group == gk.Group {
			return nil, fmt.Errorf("whether the kind %s is served cannot be told, for the server of its API does not answer: %w", gk, cause)
		}
	}
	return mapping, err
}

// Scopes says from what the API server serves which kinds live outside namespaces. Of a kind that it does not serve,
// nobody can say so, and of one that it does not tell of now, neither.
func Scopes(mapper meta.RESTMapper) func(schema.GroupKind) (bool, error) {
	return func(gk schema.GroupKind) (bool, error) {
		mapping, err := mapper.RESTMapping(gk)
		switch {
		case meta.IsNoMatchError(err):
			return false, nil
		case err != nil:
			return false, err
		}
		return mapping.Scope.Name() == meta.RESTScopeNameRoot, nil
	}
}

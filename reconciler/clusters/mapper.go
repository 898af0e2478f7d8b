package clusters

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
)

// mapper finds where kinds are served. Unlike the manager's, it can be reset to discover them again, for example when a CRD
// serves a new version. If the discovery of a group fails, such as that of an aggregated API whose server is down, it does
// not report its kinds as missing.
type mapper struct {
	*restmapper.DeferredDiscoveryRESTMapper
	discovery discovery.DiscoveryInterface
}

func newMapper(client discovery.DiscoveryInterface) *mapper {
	cached := memory.NewMemCacheClient(client)
	return &mapper{restmapper.NewDeferredDiscoveryRESTMapper(cached), cached}
}

// RESTMapping returns the resource of a kind.
func (m *mapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	mapping, err := m.DeferredDiscoveryRESTMapper.RESTMapping(gk, versions...)
	if !meta.IsNoMatchError(err) {
		return mapping, err
	}
	_, _, partial := m.discovery.ServerGroupsAndResources()
	failed, _ := discovery.GroupDiscoveryFailedErrorGroups(partial)
	for gv, cause := range failed {
		if gv.Group == gk.Group {
			return nil, fmt.Errorf("cannot find out whether the kind %s is served: the server of its API does not answer: %w", gk, cause)
		}
	}
	return mapping, err
}

// Scopes returns a function that reports which kinds are cluster-scoped, from the API server's discovery. It returns an
// error for kinds that are not served or whose discovery fails.
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

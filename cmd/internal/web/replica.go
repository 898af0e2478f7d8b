package web

import (
	"cmp"
	"context"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Several replicas may serve one browser, and each has watches of its own. One announces a change, and another may be asked
// for it before it has seen the change. The browser would show the old state until the next change. So an announcement has the
// versions that its replica has seen, the browser sends them with its requests, and a replica that is behind waits for them.

// versionsHeader is the header of a request with the versions that the answer must have.
const versionsHeader = "Berth-Versions"

// behind is how long a replica waits for its watches.
const behind = 5 * time.Second

// saw records that the store has a version of an object.
func (f *feed) saw(object any) {
	o, ok := object.(client.Object)
	if !ok {
		return // the deletion was not watched, and its version is not known
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !isAtLeast(f.seen, o.GetResourceVersion()) {
		f.seen = o.GetResourceVersion()
	}
}

func (f *feed) version() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// isAtLeast reports whether a resource version is as new as another one. An empty one is older than all others.
func isAtLeast(version, other string) bool {
	order, err := resourceversion.CompareResourceVersion(cmp.Or(version, "1"), cmp.Or(other, "1"))
	return err != nil || order >= 0
}

// versions returns the newest versions of Environments and Repositories that the board has.
func (b *board) versions() string { return b.environments.version() + "." + b.repositories.version() }

// has reports whether the board has versions that another replica announced. Nothing waits for what is not a version.
func (b *board) has(versions string) bool {
	environments, repositories, _ := strings.Cut(versions, ".")
	return isAtLeast(b.environments.version(), environments) && isAtLeast(b.repositories.version(), repositories)
}

// reach waits until the board has versions that another replica announced, or until it has waited long enough.
func (b *board) reach(ctx context.Context, versions string) {
	ctx, cancel := context.WithTimeout(ctx, behind)
	defer cancel()
	news := b.subscribers.add(b.subscribers.shown())
	defer b.subscribers.remove(news)
	for !b.has(versions) {
		select {
		case <-news.news:
		case <-ctx.Done():
			return
		}
	}
}

package web

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// patience is how long a request waits for the first listing.
const patience = 10 * time.Second

// board holds all Environments and Repositories, and tells its subscribers what changed.
type board struct {
	environments, repositories *feed
	subscribers                subscribers
}

func newBoard(from client.WithWatch, namespace string, began time.Time) *board {
	b := &board{subscribers: subscribers{all: map[*subscriber]bool{}, origin: strconv.FormatInt(began.UnixNano(), 36)}}
	at := home{from, namespace}
	b.environments = newFeed(at, &v1alpha1.Environment{}, func() client.ObjectList { return &v1alpha1.EnvironmentList{} }, b.subscribers.tell)
	b.repositories = newFeed(at, &v1alpha1.Repository{}, func() client.ObjectList { return &v1alpha1.RepositoryList{} },
		func(change) { b.subscribers.tell(change{all: true}) }) // banners and links of all pages may depend on it
	return b
}

func (b *board) run(ctx context.Context) {
	var both sync.WaitGroup
	for _, f := range []*feed{b.environments, b.repositories} {
		both.Go(func() { f.informer.RunWithContext(ctx) })
	}
	both.Wait()
}

// home is where a feed reads.
type home struct {
	client.WithWatch
	namespace string
}

// list returns all Environments, sorted by name. They are shared and must not be changed.
func (b *board) list(ctx context.Context) ([]*v1alpha1.Environment, error) {
	if err := b.environments.wait(ctx); err != nil {
		return nil, err
	}
	return objectsOf[*v1alpha1.Environment](b.environments), nil
}

// environment returns one Environment, or nil.
func (b *board) environment(ctx context.Context, name string) (*v1alpha1.Environment, error) {
	all, err := b.list(ctx)
	if err != nil {
		return nil, err
	}
	n, found := slices.BinarySearchFunc(all, name, func(e *v1alpha1.Environment, name string) int { return cmp.Compare(e.Name, name) })
	if !found {
		return nil, nil
	}
	return all[n], nil
}

// repos returns all Repositories that the viewer may read, by name, and why there are none.
func (b *board) repos(ctx context.Context) (map[string]*v1alpha1.Repository, error) {
	if err := b.repositories.wait(ctx); err != nil {
		return nil, err
	}
	byName := map[string]*v1alpha1.Repository{}
	for _, repo := range objectsOf[*v1alpha1.Repository](b.repositories) {
		byName[repo.Name] = repo
	}
	return byName, nil
}

// feed keeps the objects of one kind current through one watch.
type feed struct {
	informer cache.SharedIndexInformer
	// told reports whether the subscribers know the first listing.
	told func() bool

	mu sync.Mutex
	// seen is the newest version of an object.
	seen string
	// err is the error of the last request, and answered is closed after the first.
	err      error
	answered chan struct{}
	once     sync.Once
}

// change names what changed. Without a name it is everything.
type change struct {
	name string
	all  bool
	// moved means that the object appeared or is gone, or has another place in the list or in a banner.
	moved bool
}

func newFeed(at home, example client.Object, list func() client.ObjectList, tell func(change)) *feed {
	f := &feed{answered: make(chan struct{})}
	options := func(o metav1.ListOptions) client.ListOption {
		return &client.ListOptions{Namespace: at.namespace, Raw: &o}
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			all := list()
			return all, f.note(at.List(ctx, all, options(o)), tell)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := at.Watch(ctx, list(), options(o))
			if err == nil && isEmpty(w) {
				err = errNoAnswer
			}
			if f.note(err, tell) != nil {
				return nil, err
			}
			return w, nil
		},
	}
	f.informer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(source, at.WithWatch), example, 0, cache.Indexers{})
	// Both calls fail only if the informer has started or stopped.
	_ = f.informer.SetTransform(func(object any) (any, error) {
		if o, ok := object.(client.Object); ok {
			o.SetManagedFields(nil)
		}
		return object, nil
	})
	handler, err := f.informer.AddEventHandler(f.handlers(tell))
	f.told = func() bool { return err == nil && handler.HasSynced() }
	return f
}

// handlers record which versions the store has, and tell what changed.
func (f *feed) handlers(tell func(change)) cache.ResourceEventHandler {
	moved := func(object any) {
		f.saw(object)
		tell(change{name: nameOf(object), moved: true})
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: moved, DeleteFunc: moved,
		UpdateFunc: func(before, after any) {
			f.saw(after)
			tell(change{name: nameOf(after), moved: placeOf(before) != placeOf(after) || keysOf(before) != keysOf(after) || blockedOf(before) != blockedOf(after)})
		},
	}
}

// errNoAnswer stands for a watch that ended before it began.
var errNoAnswer = errors.New("the connection ended before the API server answered")

// isEmpty reports whether a watch is what client-go returns, without an error, when the connection ends or times out before
// the server answers. An informer would try again without end, and nobody would know.
func isEmpty(w watch.Interface) bool {
	return reflect.TypeOf(w) == reflect.TypeOf(watch.NewEmptyWatch())
}

// note records the result of a request, and reports whether the cluster can be reached again or no longer.
func (f *feed) note(err error, tell func(change)) error {
	f.mu.Lock()
	changed := (err == nil) != (f.err == nil)
	f.err = err
	f.mu.Unlock()
	f.once.Do(func() { close(f.answered) })
	if changed {
		tell(change{all: true})
	}
	return err
}

// trouble returns the error of the last request.
func (f *feed) trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// wait waits for the first listing. It returns an error only if there has never been one.
func (f *feed) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-f.answered:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := f.trouble(); err != nil && !f.told() {
		return err
	}
	if !cache.WaitForCacheSync(ctx.Done(), f.told) {
		return cmp.Or(f.trouble(), context.Cause(ctx))
	}
	return nil
}

func objectsOf[T client.Object](f *feed) []T {
	var all []T
	for _, object := range f.informer.GetStore().List() {
		if o, ok := object.(T); ok {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all
}

func nameOf(object any) string {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if o, ok := object.(client.Object); ok {
		return o.GetName()
	}
	return ""
}

// placeOf returns when an Environment last moved, in seconds, which is its place in the list.
func placeOf(object any) int64 {
	if env, ok := object.(*v1alpha1.Environment); ok {
		return lastMoved(env).Unix()
	}
	return 0
}

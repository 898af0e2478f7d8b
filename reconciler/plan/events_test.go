package plan_test

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// The events of a world: what controllers and users do.

// change changes an object by its kind/name, as another client does.
func (w *world) change(short string, do func(*observed.Object)) {
	w.t.Helper()
	live, ok := w.find(short)
	if !ok {
		w.t.Fatalf("there is no %s to change", short)
	}
	do(&live)
	live.ResourceVersion = w.next()
	w.objects[live.Key] = live
}

// disturb changes fields that Berth set. strip removes Berth's marks.
func (w *world) disturb(short string) {
	w.change(short, func(l *observed.Object) { l.Ownership = "other fields" })
}

func (w *world) strip(short string) {
	w.change(short, func(l *observed.Object) { l.Environment, l.Digest, l.Ownership = "", "", "other fields" })
}

// left settles manifests in a cluster and then removes all but the api from Git.
func left(w *world, gone ...manifest.Object) {
	w.git(append(gone, deployment("api"))...)
	w.settle()
	w.git(deployment("api"))
}

// confirms allows the blocked deletions.
func (w *world) confirms() { w.in.Confirmation = "confirmation " + w.next() }

// confirmsOnly confirms the deletion of objects that it names.
func (w *world) confirmsOnly(keys []manifest.Key) {
	w.in.Confirmation = "confirmation " + w.next() + "@" + plan.Names(keys)
}

// becomes sets the health of an object.
func (w *world) becomes(short string, status health.Status, message string) {
	w.change(short, func(l *observed.Object) { l.Health = health.Health{Status: status, Message: message} })
}

func (w *world) fails(short, message string) {
	w.change(short, func(l *observed.Object) {
		l.Health = health.Health{Status: health.Failed, Message: message}
		if l.Job != nil {
			l.Job = &observed.Job{Finished: true, FinishedAt: w.in.Now, Program: l.Job.Program, Spec: l.Job.Spec}
		}
	})
}

// finish lets a controller finish its work on an object: roll out, run, delete.
func (w *world) finish(short string) {
	w.t.Helper()
	if live, ok := w.find(short); ok && live.Deleting {
		w.vanish(live.Key)
		return
	}
	w.change(short, func(l *observed.Object) {
		l.Health = health.Health{Status: health.Healthy}
		if l.Job != nil {
			l.Job = &observed.Job{Finished: true, Succeeded: true, FinishedAt: w.in.Now, Program: l.Job.Program, Spec: l.Job.Spec}
		}
	})
}

// remove deletes an object. Objects with pods, and namespaces, take their time.
func (w *world) remove(short string) {
	w.t.Helper()
	live, ok := w.find(short)
	if !ok {
		w.t.Fatalf("there is no %s to remove", short)
	}
	w.delete(live.Key)
}

// hold lets finalizers block the deletion of an object.
func (w *world) hold(short string, finalizers ...string) {
	w.change(short, func(l *observed.Object) {
		l.Deleting, l.Finalizers = true, finalizers
		l.Health = health.Health{Status: health.Terminating, Message: "is being deleted; held by " + finalizers[0]}
	})
}

func (w *world) delete(key manifest.Key) *observed.Object {
	live := w.objects[key]
	switch key.Kind {
	case "Job", "Deployment", "Namespace":
		live.Deleting, live.ResourceVersion = true, w.next()
		live.Health = health.Health{Status: health.Terminating, Message: "is being deleted"}
		w.objects[key] = live
		return &live
	}
	w.vanish(key)
	return nil
}

func (w *world) vanish(key manifest.Key) {
	delete(w.objects, key)
	for other := range w.objects {
		inside := key.Kind == "Namespace" && other.Namespace == key.Name
		if defined := key.Kind == "CustomResourceDefinition" && other.Kind == "Widget"; inside || defined {
			delete(w.objects, other)
		}
	}
}

// unseen makes the objects of a kind unknown.
func (w *world) unseen(gk schema.GroupKind, state observed.KindState, message string) {
	w.unknown[gk] = observed.Unknown{State: state, Message: message}
}

// refuse lets the API server refuse an object until it is allowed again.
func (w *world) refuse(o manifest.Object, message string) {
	w.refuses[o.Key()] = plan.Refusal{Message: message, Fatal: true}
}

// fix lets the API server refuse changes of an object that is there.
func (w *world) fix(o manifest.Object, message string) {
	w.refuses[o.Key()] = plan.Refusal{Message: message, Fatal: true, Immutable: true}
}

// unready lets an API server in trouble refuse an object, with a temporary error.
func (w *world) unready(o manifest.Object, message string) {
	w.refuses[o.Key()] = plan.Refusal{Message: message}
}

func (w *world) allow(o manifest.Object) { delete(w.refuses, o.Key()) }

// busy returns the objects that controllers have yet to finish, in order.
func (w *world) busy() []string {
	var busy []string
	for key, live := range w.objects {
		if live.Deleting && len(live.Finalizers) == 0 || live.Health.Status == health.Progressing {
			busy = append(busy, key.Short())
		}
	}
	slices.Sort(busy)
	return busy
}

// settle runs the agent and the controllers until neither has anything left to do.
func (w *world) settle() plan.Plan {
	w.t.Helper()
	for range 100 {
		w.pass()
		p, busy := w.plan(), w.busy()
		if len(p.Ready()) == 0 && len(busy) == 0 {
			return p
		}
		for _, short := range busy {
			if _, ok := w.find(short); ok {
				w.finish(short)
			}
		}
		w.after(time.Second)
	}
	w.t.Fatalf("does not settle:\n%s", w.plan())
	return plan.Plan{}
}

// fight has another client change an object again and again.
func (w *world) fight(short string) {
	live, _ := w.find(short)
	w.in.Fights = map[manifest.Key]plan.Fight{live.Key: {
		Rival: "other-operator", Until: w.in.Now.Add(time.Minute), Calm: w.in.Now.Add(3 * time.Minute),
	}}
}

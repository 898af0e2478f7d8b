package report

import (
	"github.com/prometheus/client_golang/prometheus"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// Metrics are what the agent counts. None has a label per object.
type Metrics struct {
	writes      *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	corrections *prometheus.CounterVec
	fights      *prometheus.CounterVec
	ready       *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	labels := []string{"repository", "entry"}
	m := &Metrics{
		writes:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_writes_total", Help: "Objects written to the cluster, by action."}, append(labels, "done")),
		refusals:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_refusals_total", Help: "Writes that the cluster refused, by the class of the error."}, append(labels, "class")),
		corrections: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_corrections_total", Help: "Objects that were corrected after another client changed them."}, labels),
		fights:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_fights_total", Help: "Fights: times that another client kept changing an object, so that it is corrected less often."}, labels),
		ready:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "berth_environment_ready", Help: "1 if the environment is as Git says and healthy, else 0."}, append(labels, "environment")),
	}
	registry.MustRegister(m.writes, m.refusals, m.corrections, m.fights, m.ready)
	return m
}

// count adds up what a pass did.
func (m *Metrics) count(env *v1alpha1.Environment, o reconciler.Outcome) {
	repository, entry := env.Spec.Repository, env.Spec.Entry
	for _, r := range o.Results {
		if r.Harmless() {
			continue
		}
		if r.Err != nil {
			m.refusals.WithLabelValues(repository, entry, string(r.Err.Class)).Inc()
			continue
		}
		m.writes.WithLabelValues(repository, entry, string(r.Done)).Inc()
		if r.Reverted() {
			m.corrections.WithLabelValues(repository, entry).Inc()
		}
	}
	if j, ok := o.Finding.(reconciler.Judged); ok && j.Fights > 0 {
		m.fights.WithLabelValues(repository, entry).Add(float64(j.Fights))
	}
}

// judge exports whether an environment is ready.
func (m *Metrics) judge(env *v1alpha1.Environment, s Standing) {
	ready := 0.0
	if j, ok := s.judged(); ok && j.State == plan.Settled && j.CommitState != reconciler.RolledBack && !env.Spec.Suspend {
		ready = 1
	}
	m.ready.WithLabelValues(env.Spec.Repository, env.Spec.Entry, env.Name).Set(ready)
}

// forget drops the metrics of a deleted Environment.
func (m *Metrics) forget(env *v1alpha1.Environment) {
	m.ready.DeleteLabelValues(env.Spec.Repository, env.Spec.Entry, env.Name)
}

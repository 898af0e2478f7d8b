package report

import (
	"cmp"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// Metrics are what the agent counts. docs/metrics.md lists them.
type Metrics struct {
	writes       *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	corrections  *prometheus.CounterVec
	fights       *prometheus.CounterVec
	deliveries   *prometheus.CounterVec
	ready        *prometheus.GaugeVec
	environments *prometheus.GaugeVec
	followed     *prometheus.GaugeVec
	listed       *prometheus.GaugeVec
	listings     *prometheus.HistogramVec
	passes       *prometheus.HistogramVec
	syncs        *prometheus.HistogramVec
	decryptions  *prometheus.HistogramVec
	images       *prometheus.CounterVec
	clusters     clusterStates
	reported     *prometheus.GaugeVec
	forges       *prometheus.HistogramVec

	mu     sync.Mutex
	stands map[types.UID]stand
	counts map[stand]int
}

// stand is what berth_environments counts an Environment under.
type stand struct{ repository, entry, reason string }

// NewMetrics registers the metrics. The version is that of the program.
func NewMetrics(registry prometheus.Registerer, version string) *Metrics {
	entry := []string{"repository", "entry"}
	with := func(labels ...string) []string { return append([]string{"repository", "entry"}, labels...) }
	m := &Metrics{
		writes:       counter("berth_writes_total", "Objects written to the cluster, by action.", with("done")...),
		refusals:     counter("berth_refusals_total", "Writes that the cluster refused, by the class of the error.", with("class")...),
		corrections:  counter("berth_corrections_total", "Objects that were corrected after another client changed them.", entry...),
		fights:       counter("berth_fights_total", "Fights: times that another client kept changing an object, so that it is corrected less often.", entry...),
		deliveries:   counter("berth_webhook_deliveries_total", "Deliveries of webhooks, by the result.", "repository", "result"),
		ready:        gauge("berth_environment_ready", "1 if the environment is as Git says and healthy, else 0.", with("environment", "preview")...),
		environments: gauge("berth_environments", "Environments, by the reason of their condition Ready.", with("reason")...),
		followed:     gauge("berth_repository_ready", "1 if the Repository's condition Ready is true, else 0.", "repository"),
		listed:       gauge("berth_last_listing_timestamp_seconds", "Time of the last successful listing of a repository's branches.", "repository"),
		listings:     histogram("berth_listing_duration_seconds", "Duration of listings of branches, with the fetch of what moved, by the result.", seconds, "repository", "result"),
		passes:       histogram("berth_pass_duration_seconds", "Duration of passes, by whether they wrote anything.", milliseconds, "result"),
		syncs:        histogram("berth_sync_duration_seconds", "Time from a new commit to the end of its sync, by the outcome.", minutes, with("outcome")...),
		decryptions:  histogram("berth_decryption_duration_seconds", "Duration of decryptions of files that were not cached, by the result.", milliseconds, "result"),
		images:       counter("berth_image_checks_total", "Questions to registries whether they have an image that a commit waits for, by the result.", "result"),
		reported:     gauge("berth_forge_ready", "1 if the Repository's condition Feedback is true, else 0.", "repository"),
		forges:       histogram("berth_forge_request_duration_seconds", "Duration of requests to the API of a repository's forge, by the result.", seconds, "repository", "result"),
		stands:       map[types.UID]stand{},
		counts:       map[stand]int{},
	}
	info := gauge("berth_build_info", "Always 1. The label is the version of the agent.", "version")
	info.WithLabelValues(version).Set(1)
	registry.MustRegister(m.writes, m.refusals, m.corrections, m.fights, m.deliveries, m.ready, m.environments, m.followed, m.listed,
		m.listings, m.passes, m.syncs, m.decryptions, m.images, m.reported, m.forges, &m.clusters, info)
	return m
}

// The buckets of histograms, in seconds.
var (
	milliseconds = []float64{0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60}
	seconds      = []float64{0.02, 0.1, 0.5, 2, 10, 60, 300}
	minutes      = []float64{1, 2, 5, 10, 20, 60, 300, 1800}
)

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// count adds up what a pass did.
func (m *Metrics) count(env *v1alpha1.Environment, s Standing) {
	repository, entry, o := env.Spec.Repository, env.Spec.Entry, s.Outcome
	result := "unchanged"
	for _, r := range o.Results {
		if r.Harmless() {
			continue
		}
		if r.Err != nil {
			result = "refused"
			m.refusals.WithLabelValues(repository, entry, string(r.Err.Class)).Inc()
			continue
		}
		if result == "unchanged" {
			result = "wrote"
		}
		m.writes.WithLabelValues(repository, entry, string(r.Done)).Inc()
		if r.Reverted() {
			m.corrections.WithLabelValues(repository, entry).Inc()
		}
	}
	if s.Took > 0 {
		m.passes.WithLabelValues(result).Observe(s.Took.Seconds())
	}
	if j, ok := o.Finding.(reconciler.Judged); ok { // from zero on, because an increase takes an earlier value
		m.fights.WithLabelValues(repository, entry).Add(float64(j.Fights))
		m.corrections.WithLabelValues(repository, entry).Add(0)
	}
}

// judge exports whether an environment is ready.
func (m *Metrics) judge(env *v1alpha1.Environment, s Standing) {
	ready := 0.0
	if j, ok := s.judged(); ok && j.State == plan.Settled && j.CommitState != reconciler.RolledBack && !env.Spec.Suspend {
		ready = 1
	}
	m.unjudge(env, strconv.FormatBool(!s.Preview)) // its entry may have changed
	m.ready.WithLabelValues(env.Spec.Repository, env.Spec.Entry, env.Name, strconv.FormatBool(s.Preview)).Set(ready)
}

// unjudge drops whether an environment is ready. The label preview is "true" or "false".
func (m *Metrics) unjudge(env *v1alpha1.Environment, preview string) {
	m.ready.DeleteLabelValues(env.Spec.Repository, env.Spec.Entry, env.Name, preview)
}

// stand counts an Environment under the reason of its status.
func (m *Metrics) stand(env *v1alpha1.Environment, status v1alpha1.EnvironmentStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leave(env.UID)
	to := stand{env.Spec.Repository, env.Spec.Entry, ready(status.Conditions).Reason}
	m.stands[env.UID] = to
	m.counts[to]++
	m.environments.WithLabelValues(to.repository, to.entry, to.reason).Set(float64(m.counts[to]))
}

// leave ends the count of an Environment. The caller holds the lock.
func (m *Metrics) leave(uid types.UID) {
	from, ok := m.stands[uid]
	if !ok {
		return
	}
	delete(m.stands, uid)
	if m.counts[from]--; m.counts[from] == 0 {
		delete(m.counts, from)
		m.environments.DeleteLabelValues(from.repository, from.entry, from.reason)
		return
	}
	m.environments.WithLabelValues(from.repository, from.entry, from.reason).Set(float64(m.counts[from]))
}

// ended records a sync that ended. Its duration may be unknown.
func (m *Metrics) ended(env *v1alpha1.Environment, end v1alpha1.SyncStatus) {
	if end.Took.Duration > 0 {
		m.syncs.WithLabelValues(env.Spec.Repository, env.Spec.Entry, end.Outcome).Observe(end.Took.Seconds())
	}
}

// forget drops the metrics of a deleted Environment.
func (m *Metrics) forget(env *v1alpha1.Environment) {
	m.unjudge(env, "true")
	m.unjudge(env, "false")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leave(env.UID)
}

// follow exports whether a Repository is ready, and whether its forge accepts what is reported, if anything is.
func (m *Metrics) follow(repo *v1alpha1.Repository, status v1alpha1.RepositoryStatus) {
	m.followed.WithLabelValues(repo.Name).Set(truth(status.Conditions, v1alpha1.ConditionReady))
	if meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionFeedback) == nil {
		m.reported.DeleteLabelValues(repo.Name)
		return
	}
	m.reported.WithLabelValues(repo.Name).Set(truth(status.Conditions, v1alpha1.ConditionFeedback))
}

// truth returns 1 if a condition is true, else 0.
func truth(conditions []metav1.Condition, name string) float64 {
	if meta.IsStatusConditionTrue(conditions, name) {
		return 1
	}
	return 0
}

// Listed records a listing of a repository's branches. The reason is empty, or that of the condition Ready.
func (m *Metrics) Listed(repository, reason string, at time.Time, took time.Duration) {
	m.listings.WithLabelValues(repository, cmp.Or(reason, success)).Observe(took.Seconds())
	if reason == "" {
		m.listed.WithLabelValues(repository).Set(float64(at.Unix()))
	}
}

// success is the result of what did not fail.
const success = "Success"

// Delivered records the result of a delivery of a webhook. The repository is empty if there is none of that name.
func (m *Metrics) Delivered(repository, result string) {
	m.deliveries.WithLabelValues(repository, result).Inc()
}

// Decrypted records the decryption of a file. The result is Success, Failed, or Unavailable if a retry may succeed.
func (m *Metrics) Decrypted(took time.Duration, err error) {
	result := success
	if err != nil {
		result = "Failed"
	}
	if passing, ok := err.(interface{ Temporary() bool }); ok && passing.Temporary() {
		result = "Unavailable"
	}
	m.decryptions.WithLabelValues(result).Observe(took.Seconds())
}

// ImageChecked records the result of a question to a registry: there, missing, refused or unanswered.
func (m *Metrics) ImageChecked(result string) { m.images.WithLabelValues(result).Inc() }

// ForgeAsked records a request to the forge of a repository. The reason is that of its error; empty: it succeeded.
func (m *Metrics) ForgeAsked(repository, reason string, took time.Duration) {
	m.forges.WithLabelValues(repository, cmp.Or(reason, success)).Observe(took.Seconds())
}

// ForgeLeft drops the metrics of the requests for a Repository that reports nothing any more.
func (m *Metrics) ForgeLeft(repository string) {
	m.forges.DeletePartialMatch(prometheus.Labels{"repository": repository})
}

// ForgetRepository drops the metrics of a deleted Repository, except those of Environments that still exist.
func (m *Metrics) ForgetRepository(name string) {
	of := prometheus.Labels{"repository": name}
	for _, vec := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.writes, m.refusals, m.corrections, m.fights, m.deliveries, m.followed, m.listed, m.listings, m.syncs, m.reported, m.forges} {
		vec.DeletePartialMatch(of)
	}
}

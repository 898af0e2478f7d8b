package report

import (
	"iter"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ClusterState is what the metrics say about another cluster that the agent reaches.
type ClusterState struct {
	Name string
	// Usable says that passes can be made there now. Known is false while that is not known yet.
	Usable, Known bool
	// Expires is when the first of the agent's credentials ends; zero: none says when.
	Expires time.Time
}

var (
	clusterUsable  = prometheus.NewDesc("berth_cluster_available", "1 if the agent can work in the other cluster, else 0.", []string{"cluster"}, nil)
	clusterExpires = prometheus.NewDesc("berth_cluster_credentials_expiry_timestamp_seconds", "Time at which the agent's credentials for the other cluster end.", []string{"cluster"}, nil)
)

// clusterStates exports the states of clusters as they are when Prometheus asks.
type clusterStates struct {
	mu  sync.Mutex
	all iter.Seq[ClusterState] // nil: there are none
}

// Clusters sets where the states of the other clusters are read at each scrape. The sequence must not wait for a cluster.
func (m *Metrics) Clusters(all iter.Seq[ClusterState]) {
	m.clusters.mu.Lock()
	defer m.clusters.mu.Unlock()
	m.clusters.all = all
}

// Describe implements prometheus.Collector.
func (*clusterStates) Describe(to chan<- *prometheus.Desc) {
	to <- clusterUsable
	to <- clusterExpires
}

// Collect implements prometheus.Collector.
func (c *clusterStates) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		return
	}
	for state := range c.all {
		if state.Known {
			usable := 0.0
			if state.Usable {
				usable = 1
			}
			to <- prometheus.MustNewConstMetric(clusterUsable, prometheus.GaugeValue, usable, state.Name)
		}
		if !state.Expires.IsZero() {
			to <- prometheus.MustNewConstMetric(clusterExpires, prometheus.GaugeValue, float64(state.Expires.Unix()), state.Name)
		}
	}
}

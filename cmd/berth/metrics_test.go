package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	// libraryRow matches a metric of a library in docs/metrics.md, with its labels. described matches Prometheus' own text
	// about a metric.
	libraryRow = regexp.MustCompile("(?m)^\\| `([a-z]+_[a-z_]+)` \\| ([^|]*)\\| ")
	described  = regexp.MustCompile(`fqName: "([^"]*)".*variableLabels: \{([^}]*)\}`)
)

// An update of a library may rename its metrics. Dashboards and alerts would then be silently empty.
func TestTheLibrariesHaveTheMetricsThatAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, libraries, _ := strings.Cut(string(page), "\n## Metrics of the libraries")
	exist := map[string]string{}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		metrics.Registry.(prometheus.Collector).Describe(descriptions)
	}()
	for d := range descriptions {
		if match := described.FindStringSubmatch(d.String()); match != nil {
			exist[match[1]] = match[2]
		}
	}
	rows := libraryRow.FindAllStringSubmatch(libraries, -1)
	for _, row := range rows {
		labels, ok := exist[row[1]]
		if !ok {
			t.Errorf("no library has the metric %s", row[1])
		}
		for _, label := range strings.FieldsFunc(row[2], func(r rune) bool { return strings.ContainsRune("`, ", r) }) {
			if !slices.Contains(strings.Split(labels, ","), label) {
				t.Errorf("%s has the labels %s, and not %s", row[1], labels, label)
			}
		}
	}
	if len(rows) < 5 {
		t.Errorf("there are %d rows", len(rows))
	}
}

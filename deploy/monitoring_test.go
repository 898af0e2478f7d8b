package deploy_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var (
	// metricRow matches a metric of docs/metrics.md: its name, its type if it is Berth's own, and its labels.
	metricRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|(?: (counter|gauge|histogram) \\|)?([^|]*)\\|")
	alertRow  = regexp.MustCompile("(?m)^\\| `(Berth\\w+)` \\|")
	quoted    = regexp.MustCompile(`"[^"]*"`)
	selector  = regexp.MustCompile(`\b([a-z]+_[a-z_]+)(\{[^}]*\})?`)
	matcher   = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	grouping  = regexp.MustCompile(`\b(?:by|without) ?\(([^)]*)\)`)
	legend    = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?(\w+)`)
)

// functions have an underscore in their names, as metrics have. scraped are the labels that Prometheus adds.
var (
	functions = []string{"histogram_quantile", "min_over_time"}
	scraped   = []string{"le", "job", "pod"}
)

// query is an expression of a rule or a panel, with the texts that use its labels.
type query struct{ of, expression, text string }

// described are the labels of the metrics in docs/metrics.md, whose tests compare them with those that exist.
func described(t *testing.T, page string) map[string][]string {
	t.Helper()
	known := map[string][]string{}
	for _, row := range metricRow.FindAllStringSubmatch(page, -1) {
		labels := append(strings.FieldsFunc(row[3], func(r rune) bool { return strings.ContainsRune("`, ", r) }), scraped...)
		if row[2] == "histogram" {
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				known[row[1]+suffix] = labels
			}
			continue
		}
		known[row[1]] = labels
	}
	return known
}

func rules(t *testing.T, object *unstructured.Unstructured) (queries []query) {
	t.Helper()
	var rule struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr string
					Annotations map[string]string
				}
			}
		}
	}
	text, err := object.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(text, &rule)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range rule.Spec.Groups {
		for _, r := range group.Rules {
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say what to do", r.Alert)
			}
			queries = append(queries, query{r.Alert, r.Expr, r.Annotations["summary"] + r.Annotations["description"]})
		}
	}
	return queries
}

func panels(t *testing.T, text string) (queries []query) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, query{panel.Title, target.Expr, target.LegendFormat})
		}
	}
	return queries
}

// Alerts and panels use only metrics and labels that exist, because a query for others is silently empty.
func TestAlertsAndPanelsUseWhatExists(t *testing.T) {
	content, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	known, unused := described(t, page), map[string]bool{}
	for name := range known {
		if strings.HasPrefix(name, "berth_") && !strings.HasSuffix(name, "_sum") && !strings.HasSuffix(name, "_count") {
			unused[name] = true
		}
	}
	var alerts, boards []query
	for _, object := range build(t, overlay(t, "namespace: elsewhere\ncomponents: [BASE/components/monitoring]\n")) {
		switch {
		case object.GetKind() == "PrometheusRule":
			alerts = rules(t, object)
		case object.GetLabels()["grafana_dashboard"] != "":
			text, _, _ := unstructured.NestedString(object.Object, "data", "berth.json")
			boards = panels(t, text)
		default:
			continue
		}
		if object.GetNamespace() != "elsewhere" {
			t.Errorf("%s stays in %q", identity(object), object.GetNamespace())
		}
	}
	for _, q := range slices.Concat(alerts, boards) {
		for _, name := range q.uses(t, known) {
			delete(unused, name)
		}
	}
	if len(alerts) < 5 || len(boards) < 10 || len(unused) > 0 {
		t.Errorf("there are %d alerts and %d queries of panels, and nothing shows %v", len(alerts), len(boards), slices.Sorted(maps.Keys(unused)))
	}
	var named, documented []string
	for _, alert := range alerts {
		named = append(named, alert.of)
	}
	for _, row := range alertRow.FindAllStringSubmatch(page, -1) {
		documented = append(documented, row[1])
	}
	if !slices.Equal(named, documented) {
		t.Errorf("there are the alerts %q, and docs/metrics.md explains %q", named, documented)
	}
}

// uses returns the metrics of a query. It checks that they and the labels exist.
func (q query) uses(t *testing.T, known map[string][]string) (names []string) {
	t.Helper()
	expression := quoted.ReplaceAllString(q.expression, `""`)
	var labels, used []string
	for _, group := range grouping.FindAllStringSubmatch(expression, -1) {
		used = append(used, strings.FieldsFunc(group[1], func(r rune) bool { return strings.ContainsRune(", ", r) })...)
	}
	for _, found := range selector.FindAllStringSubmatch(grouping.ReplaceAllString(expression, ""), -1) {
		if slices.Contains(functions, found[1]) {
			continue
		}
		its, ok := known[found[1]]
		if !ok {
			t.Errorf("%s: there is no metric %s", q.of, found[1])
		}
		for _, match := range matcher.FindAllStringSubmatch(found[2], -1) {
			if !slices.Contains(its, match[1]) {
				t.Errorf("%s: %s has no label %s", q.of, found[1], match[1])
			}
		}
		names, labels = append(names, found[1]), append(labels, its...)
	}
	for _, label := range legend.FindAllStringSubmatch(q.text, -1) {
		used = append(used, label[1])
	}
	for _, label := range used {
		if !slices.Contains(labels, label) && label != "value" {
			t.Errorf("%s: none of %q has the label %s", q.of, names, label)
		}
	}
	if len(names) == 0 {
		t.Errorf("%s uses no metric", q.of)
	}
	return names
}

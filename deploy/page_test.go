package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

// row is one line of the table of the agent's rights.
type row struct {
	where            string
	resources, verbs []string
}

// Users decide by this table, too, what they add.
func TestTheSecurityPageHasEveryRuleOfTheComponents(t *testing.T) {
	rows, found := pageRows(t), 0
	components := "[BASE/components/cluster-scope, BASE/components/metrics-authorization, BASE/components/page, BASE/components/watch-secrets]"
	base := map[string]bool{}
	for _, object := range objects(t) {
		base[identity(object)] = true
	}
	for _, object := range build(t, overlay(t, "components: "+components+"\n")) {
		if kind := object.GetKind(); kind != "Role" && kind != "ClusterRole" || base[identity(object)] {
			continue
		}
		var role rbacv1.ClusterRole
		decode(t, object, &role)
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if found++; !slices.ContainsFunc(rows, func(r row) bool { return r.grants("`"+role.Name+"`", resource, rule.Verbs) }) {
					t.Errorf("docs/security.md has no row of the role %s with `%s` and exactly %q", role.Name, resource, rule.Verbs)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("the components have %d rules only", found)
	}
}

// Users decide by this table whether to install Berth.
func TestTheSecurityPageHasEveryRule(t *testing.T) {
	rows := pageRows(t)
	for _, object := range objects(t) {
		where := map[string]string{"Role": "its namespace", "ClusterRole": "cluster"}[object.GetKind()]
		if where == "" || object.GetName() != "berth-agent" {
			continue
		}
		var role rbacv1.ClusterRole // a Role has the same rules
		decode(t, object, &role)
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if !slices.ContainsFunc(rows, func(r row) bool { return r.grants(where, resource, rule.Verbs) }) {
					t.Errorf("docs/security.md has no row %q with `%s` and exactly %q", where, resource, rule.Verbs)
				}
			}
		}
	}
	for _, object := range objects(t) {
		if kind := object.GetKind(); (kind == "Role" || kind == "ClusterRole") && !strings.Contains(page(t), "`"+object.GetName()+"`") && !strings.HasPrefix(object.GetName(), "berth-agent") {
			t.Errorf("docs/security.md does not name the %s %s", kind, object.GetName())
		}
	}
}

func (r row) grants(where, resource string, verbs []string) bool {
	return r.where == where && slices.Contains(r.resources, resource) && slices.Equal(r.verbs, verbs)
}

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var backquoted = regexp.MustCompile("`([^`]+)`")

func pageRows(t *testing.T) (rows []row) {
	t.Helper()
	for line := range strings.Lines(page(t)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		r := row{where: strings.TrimSpace(cells[1]), verbs: strings.Split(strings.TrimSpace(cells[3]), ", ")}
		for _, match := range backquoted.FindAllStringSubmatch(cells[2], -1) {
			r.resources = append(r.resources, match[1])
		}
		rows = append(rows, r)
	}
	return rows
}

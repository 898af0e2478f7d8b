package rights

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

// The proxy that authenticates the viewers of the page is the test.
const (
	proxySecret = "what only the proxy knows"
	operator    = "ada"
)

// pageFlags let an agent serve the page.
func pageFlags(address string) []string {
	return []string{"--page-address", address, "--page-url", "http://" + address, "--page-proxy-user-header", "X-User", "--page-user-prefix", ""}
}

// grantsThePage grants what deploy/components/page does, and binds the operator's role.
func (a *agents) grantsThePage(t *testing.T) {
	t.Helper()
	roles, err := os.ReadFile(filepath.Join("..", "..", "deploy", "components", "page", "roles.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	a.applies(t, string(roles))
	a.SetSecret(t, "berth-page", map[string]string{"proxySecret": proxySecret})
	_, err = a.admin.RbacV1().RoleBindings(deploy.Namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: operator},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "berth-operator"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: operator}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

var formToken = regexp.MustCompile(`name="token" value="(\w+)"`)

// opensThePage reads every screen of an environment as the operator, and acts on it.
func (a *agents) opensThePage(t *testing.T, environment *world.Environment) {
	t.Helper()
	is, _ := environment.Get()
	at := "/env/" + is.Name
	for path, text := range map[string]string{"/": is.Name, at: is.Spec.Branch, at + "/logs": "Not shown", at + "/diff": "berth diff", at + "/history": "Syncs"} {
		world.Await(t, "the page shows "+path, func() (string, bool) {
			body := a.asks(t, http.MethodGet, path, nil)
			return body, strings.Contains(body, text)
		})
	}
	token := formToken.FindStringSubmatch(a.asks(t, http.MethodGet, at+"/do/suspend", nil))
	if token == nil {
		t.Fatal("the operator may not suspend")
	}
	for _, action := range []string{"suspend", "sync", "resume"} {
		a.asks(t, http.MethodPost, at+"/do/"+action, url.Values{"token": {token[1]}})
	}
	environment.AwaitEvent("Requested", operator+" requested suspend on the page")
}

// asks sends a request of the operator through the proxy, and returns the answer.
func (a *agents) asks(t *testing.T, method, path string, form url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.pageAddress+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-User", operator)
	r.Header.Set("X-Berth-Proxy-Secret", proxySecret)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://"+a.pageAddress)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

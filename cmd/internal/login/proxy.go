package login

import (
	"net/http"
	"strings"
)

// SecretHeader is the header with the secret of a proxy that authenticates.
const SecretHeader = "X-Berth-Proxy-Secret"

// ProxyConfig configures a Proxy.
type ProxyConfig struct {
	// UserHeader and GroupsHeader are the headers in which the proxy says who asks. Groups are separated by commas, or in
	// several headers. Without a name, groups do not count.
	UserHeader, GroupsHeader string
	Names                    Names
	// Key is shared by all replicas.
	Key []byte
	// Secrets has the secret that the proxy sends in SecretHeader.
	Secrets ReadSecrets
}

// Proxy lets in what a proxy that authenticates says. Each request has to have the proxy's secret; the headers of anyone
// else do not count.
type Proxy struct{ ProxyConfig }

// NewProxy returns a Proxy.
func NewProxy(c ProxyConfig) *Proxy { return &Proxy{c} }

// Session returns whose request it is.
func (p *Proxy) Session(r *http.Request) (Session, error) {
	secrets, err := p.Secrets(r.Context())
	if err != nil {
		return Session{}, unavailable(err)
	}
	sent := r.Header.Values(SecretHeader)
	if secrets.Proxy == "" || len(sent) != 1 || !equal(sent[0], secrets.Proxy) {
		return Session{}, &Refusal{Code: http.StatusUnauthorized, Title: "This page is open only through its proxy",
			Text: "Open the address of the proxy, which logs you in. If this is that address, the proxy does not send the secret of the page: see docs/ui.md."}
	}
	user := r.Header.Values(p.UserHeader)
	if len(user) != 1 {
		return Session{}, refusedNames("the proxy sends no user, or several")
	}
	v, err := p.Names.viewer(user[0], p.groups(r.Header))
	if err != nil {
		return Session{}, refusedNames(err.Error())
	}
	s, err := newSealer(p.Key, secrets.Proxy, "proxy")
	if err != nil {
		return Session{}, unavailable(err)
	}
	return Session{Viewer: v, FormToken: s.formToken(v.User)}, nil
}

func (p *Proxy) groups(h http.Header) (groups []string) {
	if p.GroupsHeader == "" {
		return nil
	}
	for _, value := range h.Values(p.GroupsHeader) {
		if value == "" {
			continue // a user without groups
		}
		for group := range strings.SplitSeq(value, ",") {
			groups = append(groups, strings.TrimSpace(group))
		}
	}
	return groups
}

// Enter leads a browser to the page if its proxy has logged it in.
func (p *Proxy) Enter(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.Session(r); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// Leave does nothing, because the session is the proxy's.
func (p *Proxy) Leave(http.ResponseWriter) (issuer string) { return "" }

func unavailable(err error) *Refusal {
	return &Refusal{Code: http.StatusServiceUnavailable, Title: "You cannot be logged in now", Text: "The agent cannot read the Secret of the page. Try again later.", Cause: err}
}

// refusedNames says why the names of a user or groups cannot be used, as a sentence.
func refusedNames(why string) *Refusal {
	sentence := strings.ToUpper(why[:1]) + strings.TrimSuffix(why[1:], ".") + "."
	return &Refusal{Code: http.StatusForbidden, Title: "This login cannot be used", Text: sentence}
}

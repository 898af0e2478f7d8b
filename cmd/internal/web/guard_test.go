package web_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"berth.dev/berth/cmd/internal/web"
)

const key = "the-key"

func guarded() *web.Guard {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	return web.NewGuard(next, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7000}, key)
}

// request is what a browser sends that has opened the page before.
func request(method, path string, form url.Values, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Host = "127.0.0.1:7000"
	r.Header.Set("Cookie", "berth-7000="+key)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://127.0.0.1:7000")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	return r
}

func TestGuard(t *testing.T) {
	form := url.Values{"token": {web.FormToken(key)}}
	for name, test := range map[string]struct {
		request *http.Request
		want    int
	}{
		"the viewer":                          {request("GET", "/", nil), http.StatusTeapot},
		"by the name localhost":               {request("GET", "/", nil, "Host", "localhost:7000"), http.StatusTeapot},
		"a name that was rebound to here":     {request("GET", "/", nil, "Host", "evil.example.com:7000"), http.StatusMisdirectedRequest},
		"another port's name":                 {request("GET", "/", nil, "Host", "127.0.0.1:7001"), http.StatusMisdirectedRequest},
		"another user of the machine":         {request("GET", "/", nil, "Cookie", ""), http.StatusUnauthorized},
		"a wrong cookie":                      {request("GET", "/", nil, "Cookie", "berth-7000=guess"), http.StatusUnauthorized},
		"an empty cookie":                     {request("GET", "/", nil, "Cookie", "berth-7000="), http.StatusUnauthorized},
		"a wrong key":                         {request("GET", "/?key=guess", nil, "Cookie", ""), http.StatusForbidden},
		"an empty key":                        {request("GET", "/?key=", nil, "Cookie", ""), http.StatusForbidden},
		"a link on another page":              {request("GET", "/", nil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"), http.StatusTeapot},
		"an image on another page":            {request("GET", "/", nil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"), http.StatusForbidden},
		"an image on another port":            {request("GET", "/", nil, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"), http.StatusForbidden},
		"a script of ours":                    {request("GET", "/", nil, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"), http.StatusTeapot},
		"an address that is typed":            {request("GET", "/", nil, "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"), http.StatusTeapot},
		"a form of ours":                      {request("POST", "/", form), http.StatusTeapot},
		"a form without a token":              {request("POST", "/", nil), http.StatusForbidden},
		"a form with a guessed token":         {request("POST", "/", url.Values{"token": {"guess"}}), http.StatusForbidden},
		"a form of another page":              {request("POST", "/", form, "Origin", "https://evil.example.com"), http.StatusForbidden},
		"a form of another port":              {request("POST", "/", form, "Origin", "http://127.0.0.1:7001"), http.StatusForbidden},
		"a form from an unknown origin":       {request("POST", "/", form, "Origin", ""), http.StatusForbidden},
		"a form of a sandboxed page":          {request("POST", "/", form, "Origin", "null"), http.StatusForbidden},
		"a form that a browser calls foreign": {request("POST", "/", form, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"a form that is too long":             {request("POST", "/", url.Values{"token": {web.FormToken(key)}, "x": {strings.Repeat("x", 1<<17)}}), http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			answer := httptest.NewRecorder()
			guarded().ServeHTTP(answer, test.request)
			if answer.Code != test.want {
				t.Errorf("got %d %s, want %d", answer.Code, answer.Body, test.want)
			}
			if got := answer.Header().Get("Referrer-Policy"); got != "same-origin" { // else browsers send the origin "null"
				t.Errorf("the referrer policy is %q", got)
			}
			if got := answer.Header().Get("Content-Security-Policy"); !strings.Contains(got, "script-src 'self';") || strings.Contains(got, "unsafe") {
				t.Errorf("the policy is %q", got)
			}
		})
	}
}

func TestTheKeyBecomesACookie(t *testing.T) {
	answer := httptest.NewRecorder()
	guarded().ServeHTTP(answer, request("GET", "/env/a?key="+key+"&q=b", nil, "Cookie", ""))
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "/env/a?q=b" {
		t.Errorf("got %d to %q", answer.Code, answer.Header().Get("Location"))
	}
	cookies := answer.Result().Cookies()
	if len(cookies) != 1 || cookies[0].Value != key || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookies are %v", cookies)
	}
}

func TestTheKeyDoesNotLeadToAnotherHost(t *testing.T) {
	answer := httptest.NewRecorder()
	guarded().ServeHTTP(answer, request("GET", "//evil.example.com/?key="+key, nil, "Cookie", ""))
	if to := answer.Header().Get("Location"); strings.HasPrefix(to, "//") || !strings.HasPrefix(to, "/") {
		t.Errorf("it leads to %q", to)
	}
}

func TestATicketOpensThePageOnce(t *testing.T) {
	g := guarded()
	ticket, err := url.Parse(g.Ticket())
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []int{http.StatusOK, http.StatusForbidden} {
		answer := httptest.NewRecorder()
		g.ServeHTTP(answer, request("GET", ticket.RequestURI(), nil, "Cookie", ""))
		if answer.Code != want || len(answer.Result().Cookies()) != 1-n {
			t.Errorf("use %d: got %d with %v, want %d", n+1, answer.Code, answer.Result().Cookies(), want)
		}
	}
}

// A file begins this navigation. A strict cookie is not sent after a redirect, but from a page of this server.
func TestATicketLeadsOnFromAPageOfThisServer(t *testing.T) {
	g := guarded()
	ticket, err := url.Parse(g.Ticket())
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, request("GET", "//evil.example.com/\"><b>?q=%22%3E&"+ticket.RawQuery, nil, "Cookie", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"))
	if got := answer.Body.String(); !strings.Contains(got, `content="0; url=/evil.example.com/`) || strings.Contains(got, "<b>") {
		t.Errorf("the page is %s", got)
	}
}

func TestBrowsersLeaveOutPort80(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for host, want := range map[string]int{
		"127.0.0.1": http.StatusTeapot, "localhost": http.StatusTeapot, "[::1]": http.StatusTeapot, "127.0.0.1:80": http.StatusTeapot,
		"evil.example.com": http.StatusMisdirectedRequest, "": http.StatusMisdirectedRequest, "127.0.0.1:7000": http.StatusMisdirectedRequest,
	} {
		form := url.Values{"token": {web.FormToken(key)}}
		g := web.NewGuard(next, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, key)
		answer := httptest.NewRecorder()
		g.ServeHTTP(answer, request("POST", "/", form, "Host", host, "Origin", "http://"+host, "Cookie", "berth-80="+key))
		if answer.Code != want {
			t.Errorf("%q is answered with %d, want %d", host, answer.Code, want)
		}
	}
	answer := httptest.NewRecorder()
	guarded().ServeHTTP(answer, request("GET", "/", nil, "Host", "127.0.0.1"))
	if answer.Code != http.StatusMisdirectedRequest {
		t.Errorf("port 7000 answers for port 80 with %d", answer.Code)
	}
}

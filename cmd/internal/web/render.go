package web

import (
	"cmp"
	"compress/gzip"
	"embed"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/login"
	"berth.dev/berth/cmd/internal/output"
)

//go:embed templates
var templateFiles embed.FS

// views are the templates of the pages. They escape whatever Git and the cluster say, and see it as text only.
type views struct {
	pages map[string]*template.Template
	rows  drawnRows
	// zippers are gzip writers, which are large.
	zippers sync.Pool
}

// frame is what every page has around its content.
type frame struct {
	Title string
	// Screen is the name of the template.
	Screen string
	// Name is the environment's, on its screens. Moving means that its objects may change at any time.
	Name   string
	Moving bool
	// Version is that of the board when the page began to read it.
	Version   string
	Cluster   string
	Namespace string
	Banners   []banner
	// Token proves that a form comes from a page of ours.
	Token string
	// User is who is logged in, if the page has a login of its own. With Leave the viewer can log out.
	User    string
	Leave   bool
	Content any
	code    int // 0 is that of success
	flush   func()
}

// Flush sends what is written so far. A page calls it before it reads something slow.
func (f frame) Flush() string {
	f.flush()
	return ""
}

// banner is a message above a page.
type banner struct {
	Tone  tone
	Title string
	Text  string
	// Items are listed below, such as the environments whose deletion is blocked.
	Items []item
	// Command or Button solve it.
	Command string
	Button  *button
}

func loadViews(now func() time.Time, a *assets) (*views, error) {
	v := &views{pages: map[string]*template.Template{}, rows: drawnRows{now: now, known: map[row]drawnRow{}}}
	v.zippers.New = func() any { return gzip.NewWriter(nil) }
	functions := template.FuncMap{
		"row":        func(r row) (template.HTML, error) { return v.rows.draw(v.pages["branches"], r) },
		"asset":      func(name string) string { return a.urls[name] },
		"ago":        func(t any) stamp { return stampOf(t, now()) },
		"web":        webAddress,
		"host":       hostOf,
		"short":      output.ShortCommit,
		"count":      output.Count,
		"counted":    func(since metav1.Time) string { return counted(since.Time, now()) },
		"escape":     url.PathEscape,
		"within":     func(part, text string) bool { return part != "" && strings.Contains(text, part) },
		"podtone":    func(p inspect.Pod) tone { return toneOfHealth(p.Health) },
		"reported":   inspect.Reported,
		"unreported": inspect.NotReported,
		"eventtone":  func(e inspect.Event) tone { return eventTones[e.Type] },
	}
	shared, err := template.New("").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		page, err := template.Must(shared.Clone()).ParseFS(templateFiles, "templates/"+entry.Name())
		if err != nil {
			return nil, err
		}
		v.pages[strings.TrimSuffix(entry.Name(), ".html")] = page
	}
	return v, nil
}

// stamp is a time for people: its age, and the time itself for programs and tooltips.
type stamp struct{ Age, Exact, Machine string }

func stampOf(value any, now time.Time) stamp {
	var t time.Time
	switch value := value.(type) {
	case time.Time:
		t = value
	case metav1.Time:
		t = value.Time
	case *metav1.Time:
		if value != nil {
			t = value.Time
		}
	}
	if t.IsZero() {
		return stamp{}
	}
	return stamp{Age: age(now.Sub(t)), Exact: t.UTC().Format("2006-01-02 15:04:05 UTC"), Machine: t.UTC().Format(time.RFC3339)}
}

// age returns a time span in one unit: "40s", "5m", "3h", "12d".
func age(d time.Duration) string { return duration.ShortHumanDuration(max(0, d)) }

// webAddress returns an address if it is one of the web. Any other scheme could run a script or a program.
func webAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return ""
	}
	return u.String()
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Host+u.Path, "/")
}

// show writes a page.
func (s *Server) show(w http.ResponseWriter, r *http.Request, code int, f frame) {
	f.Cluster, f.Namespace, f.Token = s.Cluster, s.Namespace, s.FormToken
	f.Version, _ = r.Context().Value(shownKey{}).(string)
	if session, ok := r.Context().Value(sessionKey{}).(login.Session); ok {
		f.Token, f.User, f.Leave = session.FormToken, session.User, session.ID != ""
	}
	f.code = code
	s.write(w, r, "layout", f)
}

// screenHeader is the header of a page. Its script shows no answer without it, such as that of a proxy.
const screenHeader = "Berth-Screen"

// write writes a template of a screen, compressed where the browser accepts it.
func (s *Server) write(w http.ResponseWriter, r *http.Request, name string, f frame) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Encoding")
	w.Header().Set(screenHeader, f.Screen)
	stream := http.NewResponseController(w)
	f.flush = func() { _ = stream.Flush() }
	var out io.Writer = w
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		zipped, _ := s.views.zippers.Get().(*gzip.Writer)
		zipped.Reset(w)
		defer func() {
			_ = zipped.Close()
			s.views.zippers.Put(zipped)
		}()
		out, f.flush = zipped, func() { _, _ = zipped.Flush(), stream.Flush() }
	}
	w.WriteHeader(cmp.Or(f.code, http.StatusOK))
	// An error means that the browser is gone: tests execute every template with every kind of value.
	_ = s.views.pages[f.Screen].ExecuteTemplate(visible{out}, name, f)
}

// visible removes the characters that change the direction of a text or that control a terminal, from all that a page
// shows. Templates write whole texts, so that no character is split.
type visible struct{ w io.Writer }

func (v visible) Write(text []byte) (int, error) {
	if !slices.ContainsFunc(text, mayBeHidden) {
		return v.w.Write(text)
	}
	_, err := io.WriteString(v.w, output.Visible(string(text)))
	return len(text), err
}

// mayBeHidden reports whether a byte may belong to an invisible character.
func mayBeHidden(b byte) bool { return b < ' ' && b != '\n' || b >= 0x7f }

// problem shows a page that says what is wrong.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, code int, title, text string) {
	s.show(w, r, code, frame{Title: title, Screen: "problem", Content: banner{Title: title, Text: text}})
}

package web

import (
	"bytes"
	"html/template"
	"sync"
	"time"
)

// The limits of drawn rows: how many are kept, and how long one is current. Its ages then grow in the browser.
const (
	maxDrawn = 4000
	drawnAge = 5 * time.Second
)

// drawnRows are rows of the list of branches in HTML. All viewers see the same rows, and a template takes long for thousands
// of them.
type drawnRows struct {
	now func() time.Time

	mu    sync.Mutex
	known map[row]drawnRow
}

type drawnRow struct {
	html template.HTML
	at   time.Time
}

// draw returns a row in HTML, as its template writes it.
func (d *drawnRows) draw(with *template.Template, r row) (template.HTML, error) {
	now := d.now()
	d.mu.Lock()
	drawn, ok := d.known[r]
	d.mu.Unlock()
	if ok && now.Sub(drawn.at) < drawnAge {
		return drawn.html, nil
	}
	var text bytes.Buffer
	if err := with.ExecuteTemplate(&text, "row", r); err != nil {
		return "", err
	}
	html := template.HTML(text.String()) // the template has escaped what is in it
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxDrawn {
		d.forget(now)
	}
	d.known[r] = drawnRow{html, now}
	return html, nil
}

// forget removes the rows that are not current, and if that is not enough, all.
func (d *drawnRows) forget(now time.Time) {
	for r, drawn := range d.known {
		if now.Sub(drawn.at) >= drawnAge {
			delete(d.known, r)
		}
	}
	if len(d.known) >= maxDrawn {
		clear(d.known)
	}
}

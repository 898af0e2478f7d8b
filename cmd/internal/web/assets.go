package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// contentTypes are those of the assets, by extension.
var contentTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assets serves the files that never change. Their names in URLs have a digest of their content, so that browsers keep
// them for good.
type assets struct {
	files map[string]asset
	// urls are the URLs by file name.
	urls map[string]string
}

type asset struct {
	contentType  string
	text, zipped []byte
}

func loadAssets() (*assets, error) {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	a := &assets{files: map[string]asset{}, urls: map[string]string{}}
	for _, entry := range entries {
		kind := path.Ext(entry.Name())
		if contentTypes[kind] == "" {
			continue // a licence
		}
		text, err := assetFiles.ReadFile("assets/" + entry.Name())
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(text)
		name := strings.TrimSuffix(entry.Name(), kind) + "." + base64.RawURLEncoding.EncodeToString(digest[:6]) + kind
		a.urls[entry.Name()] = "/assets/" + name
		a.files[name] = asset{contentType: contentTypes[kind], text: text, zipped: zip(text)}
	}
	return a, nil
}

// zip compresses a text. Writing to memory cannot fail.
func zip(text []byte) []byte {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(text)
	_ = w.Close()
	return zipped.Bytes()
}

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := a.files[r.PathValue("name")]
	if !ok {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", file.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	send(w, r, file.text, file.zipped)
}

// send writes the compressed text to a browser that accepts it.
func send(w http.ResponseWriter, r *http.Request, text, zipped []byte) {
	w.Header().Set("Vary", "Accept-Encoding")
	if zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		text = zipped
	}
	_, _ = w.Write(text) // a browser that is gone needs no answer
}

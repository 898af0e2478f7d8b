package page

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

var pictures = flag.String("pictures", "", "folder for pictures of the screens; without it none are made")

// TestPictures makes the pictures of the documentation: make screenshots.
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("pictures are made by make screenshots")
	}
	team := begins(t, "posts")
	healthy := map[string]string{"feature/passkeys": "Let people log in with passkeys", "feature/invoices": "Send invoices by mail", "docs/api": "Describe the API"}
	for branch, message := range healthy {
		team.Environment(branch).Becomes("Healthy", team.branches(branch, message, nil))
	}
	crash := team.branches("fix/memory-leak", "Keep fewer rows in memory", map[string]string{"k8s/worker.yaml": deployment("worker", crashes)})
	env := team.Environment("fix/memory-leak").Becomes("Failed", crash)
	team.branches("feature/search", "Search posts by their text", map[string]string{"k8s/api.yaml": deployment("api", "labels: {app: NAME, kwok.berth.dev/behaviour: pending}")})
	team.Environment("feature/search").Becomes("Syncing", "")
	p := opensIn(t, shared.Cluster.Kubeconfig(), team.git.Dir())
	for _, scheme := range []string{"light", "dark"} {
		p.emulates(scheme)
		for _, name := range []string{"branches", "environment", "diff", "logs", "history"} {
			p.goes(screens(env.Name)[name])
			p.picture(filepath.Join(*pictures, name+"-"+scheme+".png"))
		}
	}
}

// picture writes what the window shows.
func (p *tab) picture(file string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.browser, patience)
	defer cancel()
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		shot, err = smaller(shot)
	}
	if err == nil {
		err = os.WriteFile(file, shot, 0o644)
	}
	if err != nil {
		p.Fatalf("making %s: %v", file, err)
	}
}

// smaller reduces a picture to its 256 most frequent colours, which are nearly all that a page has.
func smaller(shot []byte) ([]byte, error) {
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, err
	}
	count := map[color.RGBA]int{}
	each(full, func(_, _ int, c color.RGBA) { count[c]++ })
	var all []color.RGBA
	for c := range count {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		return cmp.Or(count[b]-count[a], cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var palette color.Palette
	for _, c := range all[:min(256, len(all))] {
		palette = append(palette, c)
	}
	index := map[color.RGBA]uint8{}
	for _, c := range all {
		index[c] = uint8(palette.Index(c))
	}
	reduced := image.NewPaletted(full.Bounds(), palette)
	each(full, func(x, y int, c color.RGBA) { reduced.SetColorIndex(x, y, index[c]) })
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, reduced)
	return out.Bytes(), err
}

func each(picture image.Image, see func(x, y int, c color.RGBA)) {
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			see(x, y, color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA))
		}
	}
}

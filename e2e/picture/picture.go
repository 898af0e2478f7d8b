// Package picture makes screenshots small enough for the repository.
package picture

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"slices"
)

// Smaller reduces a picture (PNG) to 256 colours: the most frequent ones that can be told apart, so that rare ones stay.
func Smaller(shot []byte) ([]byte, error) {
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
	for _, c := range all {
		if len(palette) < 256 && !slices.ContainsFunc(palette, func(chosen color.Color) bool { return isAlike(c, chosen) }) {
			palette = append(palette, c)
		}
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

// isAlike reports whether no eye can tell two colours apart.
func isAlike(a, b color.Color) bool {
	const most = 0x0400
	r, g, bl, _ := a.RGBA()
	r2, g2, bl2, _ := b.RGBA()
	far := func(x, y uint32) bool { return max(x, y)-min(x, y) > most }
	return !far(r, r2) && !far(g, g2) && !far(bl, bl2)
}

func each(picture image.Image, see func(x, y int, c color.RGBA)) {
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			see(x, y, color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA))
		}
	}
}

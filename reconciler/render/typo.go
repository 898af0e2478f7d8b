package render

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"berth.dev/berth/reconciler/manifest"
)

// ours is what a variable of Berth's looks like. Others' look so too: a shell's ${HOME}.
var ours = regexp.MustCompile(`^[A-Z][A-Z0-9_]{2,40}$`)

// maxTypos bounds how many unknown names are compared with the known ones.
const maxTypos = 100

// typo is an unknown variable that looks like a known one.
type typo struct {
	name, meant string
	origin      manifest.Origin
}

func (t typo) String() string {
	return fmt.Sprintf("${%s} is no variable of Berth's and stays as it is; did you mean ${%s}?", t.name, t.meant)
}

// doubt notes an unknown name that looks like a known one, the first time that it comes up. It is nobody's
// mistake for sure, since nginx and shells have variables too.
func (v *variables) doubt(name string) {
	if v.doubted[name] || len(v.doubted) == maxTypos || !ours.MatchString(name) {
		return
	}
	v.doubted[name] = true
	for _, known := range slices.Sorted(maps.Keys(v.values)) {
		if distance(name, known) <= len(name)/5 {
			v.typos = append(v.typos, typo{name: name, meant: known})
			return
		}
	}
}

// distance returns how many letters have to be put in, left out, changed, or swapped with the next, to make one name
// of another.
func distance(a, b string) int {
	var before, row []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row = append(make([]int, 0, len(b)+1), i+1)
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row = append(row, min(change, last[j+1]+1, row[j]+1))
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

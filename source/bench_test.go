package source

import (
	"fmt"
	"io/fs"
	"testing"
)

// BenchmarkReadManifests reads twenty manifests of fifty branches, each of which came in its own pack.
func BenchmarkReadManifests(b *testing.B) {
	o := newOrigin(b)
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("infra/k8s/app-%d.yaml", i)] = randomText(2000)
	}
	for i := range 500 {
		files[fmt.Sprintf("app/src/dir-%d/file-%d.php", i%50, i)] = randomText(500)
	}
	base := o.commit(files)
	r := o.open()
	var commits []string
	for i := range 50 {
		id := o.CommitFrom(base, fmt.Sprintf("feature-%d", i), map[string]string{"infra/k8s/app-0.yaml": fmt.Sprint(i)}, "change")
		must(b, r.Fetch(soon(b), id))
		commits = append(commits, id)
	}
	for i := 0; b.Loop(); i++ {
		s := snapshot(b, r, commits[i%len(commits)])
		err := fs.WalkDir(s, "infra", func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				_, err = s.ReadFile(name)
			}
			return err
		})
		must(b, err)
	}
}

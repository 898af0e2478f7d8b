package hostile

import (
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/gittest"
)

// packet formats a line of Git's protocol.
func packet(line string) string { return fmt.Sprintf("%04x%s", len(line)+4, line) }

// listsMore returns a fault that answers a listing with main and more branches at its commit, valid names or not.
func listsMore(commit string, branches ...string) gittest.Fault {
	return func(e *gittest.Exchange) {
		text := packet(commit+" HEAD symref-target:refs/heads/main\n") + packet(commit+" refs/heads/main\n")
		for _, branch := range branches {
			text += packet(commit + " refs/heads/" + branch + "\n")
		}
		e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		fmt.Fprint(e.Writer, text, "0000")
	}
}

// Git allows no such branches, but a server can still list them.
func TestNamesThatGitRefuses(t *testing.T) {
	t.Parallel()
	team := begins(t, "refused")
	team.server.Misbehave(gittest.Only(gittest.ListRefs, listsMore(team.healthy, "a..b", "bell\x07", "\x1b[2Jcleared", "up/../../etc", "x.lock", "bad\xff")))
	team.leavesOut("6 branches left out because of the name", `"a..b" has "..", which Git refuses`, `"\x1b[2Jcleared" has the invisible character U+001B`)
	if all := team.Environments(); len(all) != 1 {
		t.Errorf("there are %d environments", len(all))
	}
	team.felt()
	team.server.Behave()
	team.goesOn()
}

// A few kilobytes unpack to gigabytes of references.
func TestAListingThatUnpacksToGigabytes(t *testing.T) {
	t.Parallel()
	team := begins(t, "unpacks")
	line := packet(team.healthy + " refs/heads/" + strings.Repeat("b", 1000) + "\n")
	team.server.Misbehave(gittest.Only(gittest.ListRefs, func(e *gittest.Exchange) {
		e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		e.Writer.Header().Set("Content-Encoding", "gzip")
		for w := gzip.NewWriter(e.Writer); ; {
			if _, err := w.Write([]byte(line)); err != nil {
				return
			}
		}
	}))
	team.Becomes(v1alpha1.ReasonTooLarge, "the list of references is larger than 64 MiB", "limits.listingBytes")
	team.felt()
	team.server.Behave()
	team.goesOn()
}

// A link, a submodule or a pointer might refer to a file of the agent, of another repository, or of no repository.
func TestWhatStandsForAFile(t *testing.T) {
	t.Parallel()
	team := begins(t, "links")
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	for _, row := range []struct {
		name    string
		change  gittest.Change
		refused []string
	}{
		{"absolute", gittest.Symlink("k8s/passwd.yaml", "/etc/passwd"), []string{"k8s/passwd.yaml", "its link leads out of the repository"}},
		{"climbing", gittest.Symlink("k8s/token.yaml", "../../../../var/run/secrets/kubernetes.io/serviceaccount/token"), []string{"k8s/token.yaml", "its link leads out of the repository"}},
		{"loop", gittest.Symlink("k8s/loop.yaml", "loop.yaml"), []string{"k8s/loop.yaml"}},
		{"submodule", gittest.Submodule("k8s/base", team.healthy), []string{"k8s/base", "submodule"}},
		{"pointer", gittest.Write("k8s/lfs.yaml", pointer), []string{"k8s/lfs.yaml", "Git LFS"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			team := team.in(t)
			commit := team.git.ChangeFrom("main", row.name, "try "+row.name, row.change)
			branch{Environment: team.Environment(row.name), t: t, commit: commit}.isRefused(row.refused...)
			team.felt()
		})
	}
	// A folder need not hold manifests, so a link to a folder outside of the commit is left out, with a warning.
	folder := team.git.ChangeFrom("main", "folder", "try a folder", gittest.Symlink("k8s/all", "/"))
	team.Environment("folder").Becomes("Healthy", folder, "k8s/all: the link leads to nothing in this repository, and is not followed")
	team.felt()
}

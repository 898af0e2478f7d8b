package feedback

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

func TestNoteOf(t *testing.T) {
	failed := environment("feature/login", "Failed", "Deployment/api: container api: CrashLoopBackOff: exit code 1", func(env *v1alpha1.Environment) {
		env.Status.CommitSubject = "Add the login | page"
		env.Status.ExpiresAt = &metav1.Time{Time: apitest.Noon.Add(72 * time.Hour)}
		env.Status.Unhealthy = []v1alpha1.UnhealthyObject{{Kind: "Deployment", Name: "api", Health: "Failed", Message: "CrashLoopBackOff", Log: "starting\n/close\n```\npanic: no `database`"}}
	})
	want := "**Environments of** `feature/login`\n\n" +
		"| Environment | Status | Commit | Link |\n|---|---|---|---|\n" +
		"| `review` | ❌ Failed | `aaaaaaaa` `Add the login ¦ page` | – |\n" +
		"\n❌ `review`\n\n" +
		"- Failed: `Deployment/api: container api: CrashLoopBackOff: exit code 1`\n" +
		"- Expires on 2026-03-07 12:00 UTC unless a user pushes to the branch before.\n" +
		"- More: `berth describe " + failed.Name + "` · try again: `berth retry " + failed.Name + "`\n" +
		"- Failed `Deployment/api`: `CrashLoopBackOff`\n" +
		"\n<details><summary>the last lines of its log</summary>\n\n```text\n  starting\n  /close\n  '''\n  panic: no 'database'\n```\n\n</details>\n\n"
	if diff := cmp.Diff(want, noteOf(subject{branch: "feature/login"}, []*v1alpha1.Environment{failed})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRowsOfNotes(t *testing.T) {
	for _, test := range []struct {
		rule string
		envs []*v1alpha1.Environment
		want []string
	}{
		{"no environment is left", nil, []string{"Removed: no environment of this branch exists any more."}},
		{"a healthy one needs no words", []*v1alpha1.Environment{environment("side", "Healthy", "everything is as Git says", func(env *v1alpha1.Environment) { env.Status.Link = "https://side.example.com/a?b=c" })},
			[]string{"| `review` | ✅ Healthy | `aaaaaaaa` | [open](https://side.example.com/a?b=c) |"}},
		{"a queued one has its place", []*v1alpha1.Environment{environment("side", "Queued", "place 3 in the queue: the limit of its entry is 5")},
			[]string{"| `review` | ⏳ Queued | `aaaaaaaa` | – |", "⏳ `review`", "- Queued: `place 3 in the queue: the limit of its entry is 5`", "- More: `berth describe posts.review.side`"}},
		{"one that waits says which commit was applied before", []*v1alpha1.Environment{environment("side", "Waiting", "image app:1 is not there yet", func(env *v1alpha1.Environment) {
			env.Status.AppliedCommit = commitB
		})}, []string{"- Applied before: commit `bbbbbbbb`\n"}},
		{"one that waits for an image", []*v1alpha1.Environment{environment("side", "Waiting", "image app:1 is not there yet")}, []string{"- Waiting: `image app:1 is not there yet`", "- More: `berth describe posts.review.side`, [the page](https://berth.example.com/env/posts.review.side)"}},
		{"what comes is said before", []*v1alpha1.Environment{environment("side", "Healthy", "", func(env *v1alpha1.Environment) {})}, []string{"✅ Healthy"}},
		{"one that is not reconciled yet", []*v1alpha1.Environment{environment("side", "", "")}, []string{"⏳ not reconciled yet"}},
		{"a reason is not repeated", []*v1alpha1.Environment{environment("side", "Failed", "Deployment/api: 0 of 1 ready", func(env *v1alpha1.Environment) {
			env.Status.Unhealthy = []v1alpha1.UnhealthyObject{{Kind: "Deployment", Name: "api", Health: "Failed", Message: "0 of 1 ready", Log: "panic"}, {Kind: "Deployment", Name: "web", Health: "Failed", Message: "crashes"}}
		})}, []string{"- Failed: `Deployment/api: 0 of 1 ready`\n", "- Log of `Deployment/api`\n\n<details>", "- Failed `Deployment/web`: `crashes`\n"}},
		{"expired", []*v1alpha1.Environment{environment("side", "Expired", "the branch was unused, so its namespace was deleted; to re-create it, push")}, []string{"🗑️ Expired", "to re-create it, push", "- More: `berth describe posts.review.side`"}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			note := noteOf(subject{branch: "side", page: "https://berth.example.com"}, test.envs)
			for _, want := range test.want {
				if !strings.Contains(note, want) {
					t.Errorf("the note lacks %q:\n%s", want, note)
				}
			}
		})
	}
}

// The crash of the commit before stays in the status while the next one waits for its image.
func TestAnEarlierCommitsProblemsAreNotThoseOfTheOneThatWaits(t *testing.T) {
	crashed := func(env *v1alpha1.Environment) {
		env.Status.Unhealthy = []v1alpha1.UnhealthyObject{{Kind: "Deployment", Name: "api", Health: "Failed", Message: "exit code 1", Log: "panic"}}
	}
	for reason, quoted := range map[string]bool{"Waiting": false, "Queued": false, "Failed": true, "Degraded": true} {
		note := noteOf(subject{branch: "side"}, []*v1alpha1.Environment{environment("side", reason, "x", crashed)})
		if strings.Contains(note, "panic") != quoted || strings.Contains(note, "- Failed `Deployment/api`") != quoted {
			t.Errorf("%s:\n%s", reason, note)
		}
	}
}

// Logs and messages are bounded, so that every forge takes the note.
func TestANoteIsBounded(t *testing.T) {
	var envs []*v1alpha1.Environment
	for i := range 40 {
		envs = append(envs, environment("side", "Failed", strings.Repeat("m", 1024), func(env *v1alpha1.Environment) {
			env.Name = fmt.Sprintf("posts.e%d.side", i)
			for range 20 {
				env.Status.Unhealthy = append(env.Status.Unhealthy, v1alpha1.UnhealthyObject{Kind: "Pod", Name: strings.Repeat("n", 253), Message: strings.Repeat("é", 512), Log: strings.Repeat("l", 2048)})
			}
		}))
	}
	if size := len(noteOf(subject{branch: strings.Repeat("b", 255), agent: strings.Repeat("a", 63)}, envs)); size > 65536 {
		t.Errorf("the note has %d bytes", size)
	}
}

// What comes from Git or the cluster stays a text. The forges' own rules are tested with a real Gitea, in e2e/forge.
func TestForeignTextsStayTexts(t *testing.T) {
	for _, text := range []string{
		"@all", "a | b", "\\| @all", "`", "``@all``", "<script>", "\n/close", "\r\n/merge\r\n", "[x](javascript:alert(1))", "![x](https://evil.example.com/x.png)",
		"a\u202eb", "a\u200bb", "\x1b[31mred", "\xff\xfe", "--- \n# x", "a\u2028/close", "trailing \\", "", " ", "#1 !1 $1 %1 ~bug &1", "\U000e0041",
		"closes #1", "Fixes acme/posts#1, GH-1, " + commitA, ":tada:", "<!-- berth -->", "--> <b>", "https://example.com @ada www.example.com", "\v/close", "\u0085/merge",
		"@dependabot merge", "@bors r+", "x@dependabot merge", "$`a`$", "[[_TOC_]]", "::include{file=a}", "[ ] task", "~~~\n/close", "</details>", "| a |\n|---|",
	} {
		span := code(text, maxCell)
		if span == "–" {
			if strings.TrimSpace(text) != "" {
				t.Errorf("%q is gone", text)
			}
			continue
		}
		inner := span[1 : len(span)-1]
		if span[0] != '`' || span[len(span)-1] != '`' || strings.ContainsAny(inner, "`|@\n\r\v\x1b\u0085\u202e\u200b\u2028\U000e0041") {
			t.Errorf("%q is written as %q", text, span)
		}
		for line := range strings.Lines(block(text + "\n" + text)) {
			if strings.HasPrefix(line, "/") || strings.Contains(line, "@") || strings.Contains(strings.TrimSuffix(line, "\n"), "\r") || line != "```text\n" && line != "```\n" && strings.Contains(line, "`") {
				t.Errorf("%q has the line %q in a block", text, line)
			}
		}
	}
}

// Users copy the digests of images.
func TestTheDigestOfAnImageStays(t *testing.T) {
	if got, want := code("registry.example.com/app@sha256:0123 of @ada", maxCell), "`registry.example.com/app@sha256:0123 of ＠ada`"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLink(t *testing.T) {
	for address, want := range map[string]string{
		"https://example.com/@dependabot":        "[open](https://example.com/%40dependabot)",
		"https://side.example.com/a_b?c=d&e=f#g": "[open](https://side.example.com/a_b?c=d&e=f#g)",
		"https://example.com/a) [x](javascript:": "[open](https://example.com/a%29%20%5Bx%5D%28javascript:)",
		"https://example.com/<b>|`":              "[open](https://example.com/%3Cb%3E%7C%60)",
		"https://example.com/ä":                  "[open](https://example.com/%C3%A4)",
		"javascript:alert(1)":                    "–",
		"https:///path":                          "–",
		"":                                       "–",
	} {
		if got := link("open", address); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, test := range []struct{ text, want string }{{"abcdef", "abcdef"}, {"abcdefg", "abc…"}, {"abéfgh", "ab…"}} {
		if got := clip(test.text, 6); got != test.want {
			t.Errorf("%q is cut to %q, want %q", test.text, got, test.want)
		}
	}
}

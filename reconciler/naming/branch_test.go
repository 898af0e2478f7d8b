package naming

import (
	"os/exec"
	"strings"
	"testing"
	"unicode"
)

func TestUnusable(t *testing.T) {
	for _, branch := range []string{"main", "feature/login", "功能/登录", "a+b", "v1.2", "rocket-🚀", "a@b", "a-", "fix!now", "ä", "é"} {
		if why := Unusable(branch); why != "" {
			t.Errorf("%q: %s", branch, why)
		}
	}
	for branch, why := range map[string]string{
		"":                        "",
		"a..b":                    `".."`,
		"a b":                     "U+0020",
		"a\tb":                    "U+0009",
		"a\x00b":                  "U+0000",
		"a\x7fb":                  "U+007F",
		"a\u0085b":                "U+0085",
		"gnp\u202efdp":            "U+202E",
		"a\u2066b":                "U+2066",
		"ma\u200bin":              "U+200B",
		"a\ufeffb":                "U+FEFF",
		"a\u3164b":                "U+3164",
		"a\u2028b":                "U+2028",
		"a\U000e0041":             "U+E0041",
		"bad\xff":                 "UTF-8",
		"a~1":                     "'~'",
		"a:b":                     "':'",
		`a\b`:                     `'\\'`,
		"a*":                      "'*'",
		"a@{1}":                   `"@{"`,
		"a//b":                    `"//"`,
		"/a":                      `""`,
		"a/":                      `""`,
		".a":                      `".a"`,
		"a/.b":                    `".b"`,
		"a.lock":                  `"a.lock"`,
		"a.lock/b":                `"a.lock"`,
		"a.":                      "none that Git takes",
		"-a":                      "none that Git takes",
		"@":                       "none that Git takes",
		"HEAD":                    "none that Git takes",
		strings.Repeat("a", 1025): "1024 bytes",
	} {
		if got := Unusable(branch); got == "" || !strings.Contains(got, why) {
			t.Errorf("%q: %q, want one that says %s", branch, got, why)
		}
	}
}

// TestGitAndBerthRefuseTheSameNames compares the rules with git's own, for names without invisible characters.
func TestGitAndBerthRefuseTheSameNames(t *testing.T) {
	parts := []string{"a", ".", "..", "/", "@", "{", ".lock", "-", "*", "~", ":", "\\", "[", "?", "^", "ä"}
	for _, first := range parts {
		for _, second := range parts {
			for _, third := range []string{"", "a", "/", ".lock"} {
				branch := first + second + third
				err := exec.Command("git", "check-ref-format", "--branch", branch).Run()
				// --branch expands @{-1} and the like, which this test cannot create.
				if refused := Unusable(branch) != ""; refused != (err != nil) {
					t.Errorf("%q: git says %v, Berth %q", branch, err, Unusable(branch))
				}
			}
		}
	}
}

func TestTheShortWayOfInvisibleSaysWhatTheTablesSay(t *testing.T) {
	for r := rune(0); r <= unicode.MaxASCII; r++ {
		if isInvisible(r) != unicode.In(r, invisible...) {
			t.Errorf("%U is invisible: %t", r, isInvisible(r))
		}
	}
}

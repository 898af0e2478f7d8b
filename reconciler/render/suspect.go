package render

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// Most texts with a ${NAME} that Berth does not know belong to other programs: nginx, shells and Grafana have
// variables too. The warnings here concern names that are close to Berth's own, or that another tool would have
// replaced.

const (
	// maxTypos bounds the number of unknown names that are compared with the known ones.
	maxTypos = 100
	// maxSuspect bounds the length of a text that is searched for other notations.
	maxSuspect = 4096
)

// remark is a warning or a note about a text.
type remark struct {
	text  string
	level manifest.Level
}

var (
	// ours matches names that may be Berth's variables. Others match too, such as a shell's ${HOME}.
	ours = regexp.MustCompile(`^[A-Z][A-Z0-9_]{2,40}$`)
	// bare matches a variable without braces. The first group excludes $$NAME.
	bare = regexp.MustCompile(`(?:^|[^$A-Za-z0-9_])(\$([A-Z][A-Z0-9_]{2,40}))\b`)
	// replacedBySed matches placeholders that pipelines replace with sed.
	replacedBySed = regexp.MustCompile(`<([A-Z][A-Z0-9_]{2,40})>|__([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)__|%([A-Z][A-Z0-9_]{2,40})%|@([A-Z][A-Z0-9_]{2,40})@`)
)

// elsewhere are the names that other tools use for the values of Berth's variables.
var elsewhere = map[string][]string{
	"BRANCH": {"BRANCH_NAME", "GIT_BRANCH", "GIT_BRANCH_NAME", "CI_BRANCH", "CI_BRANCH_NAME", "CURRENT_BRANCH", "GITHUB_REF_NAME", "GITHUB_HEAD_REF",
		"GITEA_REF_NAME", "BITBUCKET_BRANCH", "CIRCLE_BRANCH", "REF_NAME", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"},
	"BRANCH_SLUG":        {"SLUG", "REF_SLUG", "GIT_BRANCH_SLUG", "CI_COMMIT_BRANCH_SLUG", "BRANCH_NAME_SLUG"},
	"CI_COMMIT_REF_NAME": {"CI_BUILD_REF_NAME"},
	"CI_COMMIT_REF_SLUG": {"CI_BUILD_REF_SLUG"},
	"CI_COMMIT_SHA":      {"CI_BUILD_REF"},
	"COMMIT": {"COMMIT_SHA", "COMMIT_ID", "COMMIT_HASH", "GIT_COMMIT", "GIT_SHA", "GIT_HASH", "GIT_REVISION", "GITHUB_SHA", "GITEA_SHA", "BITBUCKET_COMMIT",
		"CIRCLE_SHA1", "REVISION", "SHA"},
	"COMMIT_SHORT": {"COMMIT_SHORT_SHA", "SHORT_COMMIT", "SHORT_SHA", "GIT_SHORT_SHA", "GIT_SHA_SHORT", "GIT_COMMIT_SHORT", "IMAGE_TAG", "DOCKER_TAG", "TAG"},
	"NAMESPACE":    {"KUBE_NAMESPACE", "K8S_NAMESPACE", "TARGET_NAMESPACE", "NAMESPACE_NAME"},
	"REPOSITORY":   {"CI_PROJECT_NAME", "REPO_NAME", "REPOSITORY_NAME"},
}

// likely returns the known variable that has this name in another tool.
func (v *variables) likely(name string) (string, bool) {
	for _, known := range slices.Sorted(maps.Keys(elsewhere)) {
		if _, ours := v.values[known]; ours && slices.Contains(elsewhere[known], name) {
			return known, true
		}
	}
	return "", false
}

// similar returns the known variable that the name probably misspells.
func (v *variables) similar(name string) (string, bool) {
	for _, known := range slices.Sorted(maps.Keys(v.values)) {
		if distance(name, known) <= len(name)/5 {
			return known, true
		}
	}
	return "", false
}

// doubt notes a warning about ${NAME} with an unknown name, the first time that it occurs. In a program, which has
// names of its own, only misspellings are reported.
func (v *variables) doubt(name string, in textKind) {
	if v.doubted[name] || len(v.doubted) == maxTypos {
		return
	}
	if unknown, _, ok := cutDefault(name); ok && in == aValue {
		v.doubted[name] = true
		v.remark(manifest.Note, "${%s} stays as it is: %s is no variable of Berth's; to give it a value, add it to the entry's variables", name, unknown)
		return
	}
	if !ours.MatchString(name) {
		return
	}
	v.doubted[name] = true
	if meant, ok := v.similar(name); ok {
		v.remark(manifest.Warn, "${%s} is no variable of Berth's and stays as it is; did you mean ${%s}?", name, meant)
		return
	}
	if in != aValue {
		return
	}
	if meant, ok := v.likely(name); ok {
		v.remark(manifest.Warn, "${%s} is no variable of Berth's and stays as it is; did you mean ${%s}?", name, meant)
	} else if entry, ok := v.others[name]; ok {
		v.remark(manifest.Warn, "${%s} is a variable of the entry %s, not of this one, and stays as it is; add it to the variables of the entry %s", name, entry, v.values["ENTRY"])
	} else if strings.HasPrefix(name, "CI_") {
		v.remark(manifest.Warn, "${%s} is a variable of pipelines that Berth does not have, and stays as it is; add it to the entry's variables", name)
	}
}

// notations warns about variables that a value writes as other tools do.
func (v *variables) notations(text string) {
	if len(text) > maxSuspect || !strings.ContainsAny(text, "$<_%@") {
		return
	}
	for _, match := range bare.FindAllStringSubmatch(text, -1) {
		v.notation(match[1], match[2])
	}
	for _, match := range replacedBySed.FindAllStringSubmatch(text, -1) {
		v.notation(match[0], strings.Join(match[1:], ""))
	}
}

// notation says how to write a variable for Berth.
func (v *variables) notation(written, name string) {
	meant := name
	if _, known := v.values[name]; !known {
		likely, ok := v.likely(name)
		if !ok {
			return
		}
		meant = likely
	}
	if !v.doubted[written] && len(v.doubted) < maxTypos {
		v.doubted[written] = true
		v.remark(manifest.Warn, "%s stays as it is; write ${%s} to have it replaced", written, meant)
	}
}

func (v *variables) remark(level manifest.Level, format string, args ...any) {
	v.remarks = append(v.remarks, remark{fmt.Sprintf(format, args...), level})
}

// distance returns the number of letters to insert, remove, change, or swap with the next, to turn one name into the
// other.
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

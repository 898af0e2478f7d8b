package render_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/render"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// suspectOptions are those of an entry whose Repository has another entry with more variables.
func suspectOptions() render.Options {
	o := options()
	o.Variables["COMMIT"], o.Variables["ENTRY"], o.Variables["CI_COMMIT_REF_NAME"], o.Variables["EMPTY"] = "1a2b", "production", "feature/login", ""
	o.OtherVariables = map[string]string{"HOST": "review"}
	return o
}

// A variable of another tool or another entry gets a warning where it is a value.
func TestVariablesThatOtherToolsHaveAreAskedAbout(t *testing.T) {
	const unknown = " is no variable of Berth's and stays as it is; did you mean "
	for text, want := range map[string]string{
		"app:${BRANCH_NAME}":         "${BRANCH_NAME}" + unknown + "${BRANCH}?",
		"app:${COMMIT_SHA}":          "${COMMIT_SHA}" + unknown + "${COMMIT}?",
		"app:${IMAGE_TAG}":           "${IMAGE_TAG}" + unknown + "${COMMIT_SHORT}?",
		"app:${CI_BUILD_REF_NAME}":   "${CI_BUILD_REF_NAME}" + unknown + "${CI_COMMIT_REF_NAME}?",
		"${CI_REGISTRY_IMAGE}:1":     "${CI_REGISTRY_IMAGE} is a variable of pipelines that Berth does not have, and stays as it is; add it to the entry's variables",
		"https://${HOST}/":           "${HOST} is a variable of the entry review, not of this one, and stays as it is; add it to the variables of the entry production",
		"app-$BRANCH_SLUG.local":     "$BRANCH_SLUG stays as it is; write ${BRANCH_SLUG} to have it replaced",
		"app:$GITHUB_SHA":            "$GITHUB_SHA stays as it is; write ${COMMIT} to have it replaced",
		"app:<CI_BUILD_REF_NAME>":    "<CI_BUILD_REF_NAME> stays as it is; write ${CI_COMMIT_REF_NAME} to have it replaced",
		"app:__BRANCH_SLUG__":        "__BRANCH_SLUG__ stays as it is; write ${BRANCH_SLUG} to have it replaced",
		"app:%COMMIT%":               "%COMMIT% stays as it is; write ${COMMIT} to have it replaced",
		"${cluster_env:=dev}":        "${cluster_env:=dev} stays as it is: cluster_env is no variable of Berth's; to give it a value, add it to the entry's variables",
		"$${request} and $${again}":  "$${request} keeps both dollar signs, since request is no variable of Berth's; write ${request} where one is meant, here and elsewhere",
		"$${BRANCH} $$BRANCH_SLUG x": "", "${DS_PROMETHEUS}": "", "${HOME}/${USER}": "", "$(BRANCH)": "", "<HOME> <NAME>": "", "100% of BRANCH, 100%": "", "a__B__c": "",
		"${request_uri}?$query_string": "", "$__rate_interval": "", "${__from:date}": "", "${var.name}": "", "$1 $BRANCHES": "",
	} {
		result := rendered(t, one(header+"data:\n  a: "+strconv.Quote(text)+"\n"), suspectOptions())
		var expected []string
		if want != "" {
			expected = []string{"infra/k8s/x.yaml:6: ConfigMap/api: " + want}
		}
		if got := warned(result); !slices.Equal(got, expected) {
			t.Errorf("%s: got %q, want %q", text, got, expected)
		}
	}
}

// Programs have variables of their own.
func TestProgramsMayHaveTheirOwnVariables(t *testing.T) {
	script := "#!/bin/sh\\necho ${BRANCH_NAME} $BRANCH_SLUG <COMMIT> ${HOST} ${CI_JOB_ID} ${IMAGE_TAG:-x}\\n"
	for _, text := range []string{
		header + `data: {a: "` + script + `"}`,
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'a:1', command: [sh, -c, '${HOST} $BRANCH_SLUG ${IMAGE_TAG}'], args: ['${HOST:-x}', '<BRANCH>']}]}\n",
	} {
		if got := warned(rendered(t, one(text), suspectOptions())); len(got) > 0 {
			t.Errorf("%s: got %q, want none", text, got)
		}
	}
}

// A script that sets a variable itself means its own.
func TestVariablesThatAScriptSetsAreItsOwn(t *testing.T) {
	for script, want := range map[string]string{ // "": it stays
		"NAMESPACE=$(cat ns)\necho ${NAMESPACE}\n":                   "",
		"export NAMESPACE=a; echo ${NAMESPACE}\n":                    "",
		"local NAMESPACE=\"$1\"\necho ${NAMESPACE}\n":                "",
		"  declare -r NAMESPACE='a'\necho ${NAMESPACE}\n":            "",
		"while read -r A NAMESPACE; do echo ${NAMESPACE}; done\n":    "",
		"for NAMESPACE in a b; do echo ${NAMESPACE}; done\n":         "",
		": \"${NAMESPACE:=default}\"\necho ${NAMESPACE}\n":           "",
		": ${NAMESPACE:=default}\necho ${NAMESPACE}\n":               "",
		"NAMESPACE=\necho ${NAMESPACE}\n":                            "",
		"NAMESPACE = a\nall:\n\techo ${NAMESPACE}\n":                 "",
		"NAMESPACE ?= a\nall:\n\techo ${NAMESPACE}\n":                "",
		"const NAMESPACE = 'a'\nlog(`${NAMESPACE}`)\n":               "",
		"NAMESPACE=${NAMESPACE:-a}\necho ${NAMESPACE}\n":             "",
		"if x; then NAMESPACE=a; fi\necho ${NAMESPACE}\n":            "",
		"echo ${NAMESPACE:-none}\n# of a script\n":                   "",
		"echo ${NAMESPACE}\necho done\n":                             "echo posts-login\necho done\n",
		"NAMESPACE=${NAMESPACE}\nA=${BRANCH}\n":                      "NAMESPACE=posts-login\nA=feature/login\n",
		"MY_NAMESPACE=a\necho ${NAMESPACE}\n":                        "MY_NAMESPACE=a\necho posts-login\n",
		"[ \"$x\" == a ] && NAMESPACE== echo ${NAMESPACE}\n":         "[ \"$x\" == a ] && NAMESPACE== echo posts-login\n",
		"NAMESPACE=a\necho $${NAMESPACE} ${BRANCH}\n":                "NAMESPACE=a\necho ${NAMESPACE} feature/login\n",
		"url: https://x/?NAMESPACE=1&x=${NAMESPACE}\nread: a file\n": "url: https://x/?NAMESPACE=1&x=posts-login\nread: a file\n",
	} {
		result := rendered(t, one(header+"data: {init.sh: "+strconv.Quote(script)+"}\n"), suspectOptions())
		got, _, _ := unstructured.NestedString(result.Set.Objects[0].Object, "data", "init.sh")
		stays := want == ""
		if stays {
			want = script
		}
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if notes := warned(result); stays != (len(notes) == 1 && strings.Contains(notes[0], "${NAMESPACE} stays as it is in a script that sets it")) {
			t.Errorf("%s: notes %q", script, notes)
		}
	}
}

func TestDefaultsOfVariables(t *testing.T) {
	for text, want := range map[string]any{
		"${PORT:-1}": "8080", "a${PORT:=1}b": "a8080b", "${EMPTY:-x}": "x", "${EMPTY:=x}": "x", "${EMPTY:-}": "", "${EMPTY:-${BRANCH}.x}y": "feature/login.xy",
		"${REPLICAS:-1}": int64(3), "'${REPLICAS:-1}'": "3", "${EMPTY:-${EMPTY:-z}}": "z", "$${PORT:-1}": "${PORT:-1}", "${NONE:-x}": "${NONE:-x}",
		"${PORT-1}": "${PORT-1}", "${PORT:+1}": "${PORT:+1}", "${EMPTY:-${": "${EMPTY:-${", "${EMPTY:-${BRANCH}": "${EMPTY:-feature/login",
	} {
		result := rendered(t, one("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: thing}\nspec:\n  value: "+text+"\n"), suspectOptions())
		if got, _, _ := unstructured.NestedFieldNoCopy(result.Set.Objects[0].Object, "spec", "value"); got != want {
			t.Errorf("%s: got %#v, want %#v", text, got, want)
		}
	}
}

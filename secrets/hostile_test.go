package secrets_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

// beside is the SOPS metadata of a hostile file, for production's key.
const beside = "sops:\n  lastmodified: \"2026-02-03T04:05:06Z\"\n  mac: x\n  version: 3.13.3\n%s  age: [{recipient: age1x, enc: x}]\n"

// manyKeys returns n leaves of a file.
func manyKeys(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "k%d: x\n", i)
	}
	return text.String()
}

// costlyRule has 999 bytes and a million instructions, and SOPS compiles it for each key.
var costlyRule = "(" + strings.Repeat("x", 990) + "){1,999}"

// asSealed puts a data key for a recipient into a hostile file, because everyone can encrypt for a public key. Without it
// SOPS would refuse the file before it reads the values.
func asSealed(t *testing.T, content, recipient string) string {
	t.Helper()
	key := fmt.Sprintf("%q", sopstest.SealedFor(t, recipient))
	return strings.NewReplacer("enc: x}", "enc: "+key+"}", `"enc": "x"`, `"enc": `+key).Replace(content)
}

// hostile are files that crash the SOPS library or make it misbehave.
var hostile = []struct {
	name, file, content string
	format              secrets.Format
	// want is the reason that the guard gives for refusing the file.
	want string
}{
	{"an alias of itself in a second document", "a.yaml", "a: x\n" + fmt.Sprintf(beside, "") + "---\na: &a [*a]\n" + fmt.Sprintf(beside, ""), secrets.YAML,
		"it has an alias on line"},
	{"a bomb of aliases", "a.yaml", "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n" +
		"d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]\n" +
		"g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f]\nh: [*g, *g, *g, *g, *g, *g, *g, *g, *g, *g]\n" + fmt.Sprintf(beside, ""), secrets.YAML,
		"it has an alias on line"},
	{"deep JSON", "a.json", `{"a": ` + strings.Repeat("[", 4<<20), secrets.JSON, "its values nest deeper than 100 levels"},
	{"deep YAML", "a.yaml", "a: " + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "\n" + fmt.Sprintf(beside, ""), secrets.YAML, "its values nest deeper than 100 levels"},
	{"a costly rule", "a.yaml", manyKeys(20) + fmt.Sprintf(beside, "  encrypted_regex: '"+costlyRule+"'\n"), secrets.YAML,
		"its sops.encrypted_regex is too costly for a file of this size"},
	{"a rule that is costly for many keys", "a.yaml", manyKeys(5_000) + fmt.Sprintf(beside, "  encrypted_regex: '"+strings.Repeat("(ab?c{0,9})+", 80)+"'\n"), secrets.YAML,
		"its sops.encrypted_regex is too costly for a file of this size"},
	{"50,000 keys", "a.yaml", manyKeys(50_000) + fmt.Sprintf(beside, ""), secrets.YAML, "it holds more than 10000 values"},
	{"50,000 items of JSON", "a.json", `{"a": [` + strings.Repeat("1,", 50_000) + `1]}`, secrets.JSON, "it holds more than 10000 values"},
	{"a context that is null", "a.yaml", "a: x\nsops:\n  lastmodified: \"2026-02-03T04:05:06Z\"\n  mac: x\n" +
		"  kms: [{arn: 'arn:aws:kms:eu-west-1:111122223333:key/a', created_at: '2026-02-03T04:05:06Z', enc: eA==, context: {a: null}}]\n", secrets.YAML, "has a value that is not a text"},
	{"a key twice in JSON", "a.json", `{"a": "x", "a": "y", "sops": {"lastmodified": "2026-02-03T04:05:06Z", "mac": "x", "age": [{"recipient": "age1x", "enc": "x"}]}}`, secrets.JSON,
		`it has the key "a" twice`},
	{"SOPS' part twice in JSON", "a.json", `{"sops": {"mac": "y"}, "a": "x", "sops": {"lastmodified": "2026-02-03T04:05:06Z", "mac": "x", "age": [{"recipient": "age1x", "enc": "x"}]}}`, secrets.JSON,
		`it has the key "sops" twice`},
	{"text after JSON", "a.json", `{"a": "x", "sops": {"lastmodified": "2026-02-03T04:05:06Z", "mac": "x", "age": [{"recipient": "age1x", "enc": "x"}]}} {"sops": {}}`, secrets.JSON,
		"something follows its JSON object"},
	{"a file of 6 MiB", "a.yaml", "a: " + strings.Repeat("x", 6<<20) + "\n" + fmt.Sprintf(beside, ""), secrets.YAML, "it is larger than 5 MiB"},
}

// The guard refuses hostile files before a worker sees them.
func TestHostileFilesAreRefused(t *testing.T) {
	missing := secrets.NewWorkers(secrets.WorkersConfig{Command: []string{"/nowhere"}})
	d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Workers: missing})
	for _, test := range hostile {
		_, err := d.Decrypt(t.Context(), test.file, []byte(test.content))
		var e *secrets.Error
		if !errors.As(err, &e) || e.Reason != secrets.Malformed || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

// fatal are the hostile files that end the process that reads them, whatever the machine.
var fatal = map[string]secrets.Reason{
	"an alias of itself in a second document": secrets.Exhausting, "deep JSON": secrets.Exhausting, "a context that is null": secrets.Failing,
}

// If the guard missed a hostile file, it would at most kill the worker, and the next file gets a new one.
func TestHostileFilesCostTheirWorkerAtMost(t *testing.T) {
	w := secrets.NewWorkers(secrets.WorkersConfig{
		Command: []string{sopstest.Worker(t)}, Limits: secrets.Limits{Memory: 128 << 20, CPU: 2 * time.Second, Time: 2 * time.Minute},
	})
	t.Cleanup(w.Close)
	keys := keysOf(t, "production")
	d := secrets.New(secrets.Config{Keys: keys, Workers: w})
	for _, test := range hostile {
		content := asSealed(t, test.content, keys.Recipients()[0])
		_, err := d.Unguarded(t.Context(), secrets.Sealed{Format: test.format, Content: []byte(content)})
		t.Logf("%s: %v", test.name, err)
		var e *secrets.Error
		if want := fatal[test.name]; !errors.As(err, &e) || want != "" && e.Reason != want {
			t.Errorf("%s: got %v, want %s", test.name, err, want)
		}
		if _, err := d.Decrypt(t.Context(), "secret.yaml", golden(t, "secret.yaml")); err != nil {
			t.Fatalf("after %s: %v", test.name, err)
		}
	}
}

// The library panics on the type bytes, which an earlier version of SOPS wrote.
func TestBytesAreRefused(t *testing.T) {
	content := strings.ReplaceAll(string(golden(t, "secret.yaml")), "type:int", "type:bytes")
	_, err := with(t, "production").Decrypt(t.Context(), "a.yaml", []byte(content))
	var e *secrets.Error
	if !errors.As(err, &e) || e.Reason != secrets.Tampered || !strings.Contains(err.Error(), `"stringData.port" has a type that SOPS no longer writes`) {
		t.Errorf("got %v", err)
	}
}

// Other processes cannot read any part of a key.
func TestWhatThereIsToSeeOfAWorker(t *testing.T) {
	sopstest.Plant(t)
	w := obedientWorkers(t)
	d := obeying(t, w, "production")
	got, err := d.Decrypt(t.Context(), "a.yaml", ordering("process"))
	want := strings.Join(append(d.Environment(), "obey"), " ") + " " + keysOf(t, "production").Recipients()[0]
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	found := 0
	for _, stat := range glob(t, "/proc/[0-9]*/stat") {
		text, err := os.ReadFile(stat)
		if err != nil || !isChild(string(text)) || !strings.Contains(string(text), "(secrets.test)") {
			continue // another process' child, another program, or gone
		}
		for name, want := range map[string]string{"environ": joined(d.Environment()), "cmdline": joined([]string{os.Args[0], "obey"})} {
			content, err := os.ReadFile(filepath.Join(filepath.Dir(stat), name))
			switch {
			case errors.Is(err, os.ErrPermission) && os.Getuid() != 0:
				found++ // only root can read the environment of such a process
			case err != nil:
				t.Errorf("%s cannot be read: %v", name, err)
			case string(content) != want:
				t.Errorf("%s is %q\nwant %q", name, content, want)
			default:
				found++
			}
		}
	}
	if found != 2 {
		t.Errorf("looked at %d files of the only worker", found)
	}
}

// joined returns texts as the kernel shows arguments and environments.
func joined(texts []string) string { return strings.Join(texts, "\x00") + "\x00" }

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// isChild reports whether a process is a child of this process.
func isChild(stat string) bool {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	return fields[1] == strconv.Itoa(os.Getpid())
}

package images

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// login is a credential of a pull secret.
type login struct {
	pattern string // the repositories that it is for
	auth    authn.AuthConfig
	secret  string // as Secret/name
}

// logins are the credentials that a pod may pull with.
type logins []login

// of returns the credentials for a repository, in the order in which the kubelet tries them: those for the longest path
// first. There are at most maxTried.
func (l logins) of(repository string) logins {
	fitting := slices.DeleteFunc(slices.Clone(l), func(one login) bool { return !fits(one.pattern, repository) })
	slices.SortStableFunc(fitting, func(a, b login) int { return cmp.Compare(len(b.pattern), len(a.pattern)) })
	return fitting[:min(maxTried, len(fitting))]
}

// parts are what distinguishes the credential from others.
func (l login) parts() []string {
	return []string{l.pattern, l.secret, l.auth.Username, l.auth.Password, l.auth.Auth, l.auth.IdentityToken, l.auth.RegistryToken}
}

// fits reports whether a pattern of a pull secret covers a repository, as in the kubelet: each part of the host is a
// glob, the port is the same, and the path is a prefix.
// https://kubernetes.io/docs/concepts/containers/images/#config-json
func fits(pattern, repository string) bool {
	host, prefix, _ := strings.Cut(pattern, "/")
	at, in, _ := strings.Cut(repository, "/")
	wantName, wantPort, _ := strings.Cut(host, ":")
	isName, isPort, _ := strings.Cut(at, ":")
	wanted, parts := strings.Split(wantName, "."), strings.Split(isName, ".")
	if wantPort != isPort || len(wanted) != len(parts) || !strings.HasPrefix(in, prefix) {
		return false
	}
	for i, glob := range wanted {
		if ok, err := path.Match(glob, parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// hub are the names under which pull secrets know Docker Hub.
var hub = []string{"docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"}

// normal returns the key of a pull secret as a pattern: without the scheme, and without the API's version.
func normal(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, prefix, _ := strings.Cut(key, "/")
	for _, version := range []string{"v1", "v2"} {
		if prefix == version {
			prefix = ""
		}
		prefix = strings.TrimPrefix(prefix, version+"/")
	}
	if host = strings.ToLower(host); slices.Contains(hub, host) {
		host = name.DefaultRegistry
	}
	return strings.TrimSuffix(host+"/"+prefix, "/")
}

// purse finds the pull secrets of an environment: in its input first, then in the cluster, as its account.
type purse struct {
	read  func(ctx context.Context, user string, key manifest.Key) (*unstructured.Unstructured, error)
	user  string
	git   map[manifest.Key]*unstructured.Unstructured // the Secrets and ServiceAccounts of the input
	known map[manifest.Key]*unstructured.Unstructured // as the pods will find them
	held  map[manifest.Key]logins                     // by Secret
	left  int                                         // how many more credentials it holds
}

func newPurse(read func(context.Context, string, manifest.Key) (*unstructured.Unstructured, error), user string, set manifest.Set) *purse {
	p := &purse{read: read, user: user, left: maxLogins, git: map[manifest.Key]*unstructured.Unstructured{}, known: map[manifest.Key]*unstructured.Unstructured{}, held: map[manifest.Key]logins{}}
	for _, o := range set.Objects {
		if isPulledWith(o.Key()) {
			p.git[o.Key()] = o.Unstructured
		}
	}
	return p
}

// PulledWith returns the objects of an input that say with which credentials its images are pulled. A Query is kept as long as
// its environment waits, so it should have no others.
func PulledWith(input manifest.Set) (set manifest.Set) {
	for _, o := range input.Objects {
		if isPulledWith(o.Key()) {
			set.Objects = append(set.Objects, o)
		}
	}
	return set
}

func isPulledWith(key manifest.Key) bool {
	return key.Group == "" && (key.Kind == "Secret" || key.Kind == "ServiceAccount")
}

// logins returns what the pods that use an image pull it with: the pull secrets of their spec, else those of their
// ServiceAccount. Secrets that do not exist, or may not be read, count as empty, as for the kubelet.
func (p *purse) logins(ctx context.Context, image plan.Image) logins {
	names := image.Secrets
	if len(names) == 0 {
		account := p.get(ctx, manifest.Key{Kind: "ServiceAccount", Namespace: image.Of.Namespace, Name: image.Account})
		names = referenced(account)
	}
	var all logins
	for _, name := range names {
		all = append(all, p.credentials(ctx, manifest.Key{Kind: "Secret", Namespace: image.Of.Namespace, Name: name})...)
	}
	return all
}

// credentials returns those of a Secret, as far as the purse holds them. It reads each Secret once: thousands of images may
// name the same large one.
func (p *purse) credentials(ctx context.Context, key manifest.Key) logins {
	held, ok := p.held[key]
	if !ok {
		all := credentials(p.get(ctx, key))
		held = slices.Clone(all[:min(p.left, len(all))])
		p.held[key], p.left = held, p.left-len(held)
	}
	return held
}

// get returns an object as the pods will find it; nil: they will not.
func (p *purse) get(ctx context.Context, key manifest.Key) *unstructured.Unstructured {
	if found, ok := p.known[key]; ok {
		return found
	}
	found := p.git[key]
	if isSilent(found) && p.read != nil {
		if live, err := p.read(ctx, p.user, key); err == nil && live != nil {
			found = live
		}
	}
	p.known[key] = found
	return found
}

// isSilent reports whether the input does not say what an object has: another client may add pull secrets to a
// ServiceAccount.
func isSilent(o *unstructured.Unstructured) bool {
	return o == nil || o.GetKind() == "ServiceAccount" && o.Object["imagePullSecrets"] == nil
}

func referenced(account *unstructured.Unstructured) []string {
	var names []string
	if account == nil {
		return nil
	}
	references, _, _ := unstructured.NestedSlice(account.Object, "imagePullSecrets")
	for _, reference := range references {
		fields, _ := reference.(map[string]any)
		if name, _ := fields["name"].(string); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// credentials returns the credentials of a pull secret. Entries that cannot be read are left out.
func credentials(secret *unstructured.Unstructured) logins {
	if secret == nil {
		return nil
	}
	entries := map[string]json.RawMessage{}
	config := struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}{}
	if text := value(secret, ".dockerconfigjson"); text != nil && json.Unmarshal(text, &config) == nil {
		entries = config.Auths
	} else if text := value(secret, ".dockercfg"); text != nil && json.Unmarshal(text, &entries) != nil {
		return nil
	}
	var all logins
	for key, entry := range entries {
		var auth authn.AuthConfig
		if json.Unmarshal(entry, &auth) == nil {
			all = append(all, login{pattern: normal(key), auth: auth, secret: "Secret/" + secret.GetName()})
		}
	}
	slices.SortFunc(all, func(a, b login) int { return cmp.Compare(a.pattern, b.pattern) })
	return all
}

// value returns an entry of a Secret, from Git or from the cluster.
func value(secret *unstructured.Unstructured, entry string) []byte {
	if text, ok, _ := unstructured.NestedString(secret.Object, "stringData", entry); ok {
		return []byte(text)
	}
	text, _, _ := unstructured.NestedString(secret.Object, "data", entry)
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(plain) == 0 {
		return nil
	}
	return plain
}

package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of names. RBAC has none, but a name this long is no name.
const (
	maxName   = 256
	maxGroups = 500
)

// reserved begins the names of users and groups that Kubernetes itself has, such as system:masters. No issuer may give
// them to anybody.
const reserved = "system:"

// Names are the prefixes that distinguish users and groups of an issuer from others of the cluster, as the API server's
// flags of the same names do.
type Names struct{ UserPrefix, GroupsPrefix string }

// Check returns an error for prefixes with which each name would be one of Kubernetes itself.
func (n Names) Check() error {
	for _, prefix := range []string{n.UserPrefix, n.GroupsPrefix} {
		if strings.HasPrefix(prefix, reserved) {
			return fmt.Errorf("the prefix %q begins with %s, which is reserved for Kubernetes; choose another one, such as \"oidc:\"", prefix, reserved)
		}
	}
	return nil
}

// viewer returns a viewer under the names for RBAC. An empty or strange name is an error, because it could count as
// none, and so lift a restriction.
func (n Names) viewer(user string, groups []string) (Viewer, error) {
	name, err := nameOf("user", n.UserPrefix, user)
	if err != nil {
		return Viewer{}, err
	}
	if len(groups) > maxGroups {
		return Viewer{}, fmt.Errorf("there are %d groups, more than %d", len(groups), maxGroups)
	}
	v := Viewer{User: name}
	for _, group := range groups {
		name, err := nameOf("group", n.GroupsPrefix, group)
		if err != nil {
			return Viewer{}, err
		}
		v.Groups = append(v.Groups, name)
	}
	return v, nil
}

func nameOf(kind, prefix, name string) (string, error) {
	full := prefix + name
	switch {
	case strings.TrimSpace(name) == "":
		return "", fmt.Errorf("the name of a %s is empty", kind)
	case len(full) > maxName:
		return "", fmt.Errorf("the name of a %s has %d bytes, more than %d", kind, len(full), maxName)
	case !utf8.ValidString(full), strings.ContainsFunc(full, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }):
		return "", fmt.Errorf("the name of a %s has characters that cannot be seen: %q", kind, full)
	case strings.HasPrefix(full, reserved):
		return "", fmt.Errorf("the %s %q has a name that is reserved for Kubernetes", kind, full)
	}
	return full, nil
}

// Claims are the names of the claims of an ID token that say who a user is.
type Claims struct {
	// User is the claim with the user's name.
	User string
	// Groups is the claim with the user's groups; empty: groups do not count.
	Groups string
}

// The claims about a mail address.
const (
	claimEmail    = "email"
	claimVerified = "email_verified"
)

// viewer returns the viewer that a token is about.
func (c Claims) viewer(claims map[string]json.RawMessage, n Names) (Viewer, error) {
	var user string
	if json.Unmarshal(claims[c.User], &user) != nil || user == "" {
		return Viewer{}, fmt.Errorf("the claim %s is not a name: have the issuer add it to the ID token, or choose another claim", c.User)
	}
	if verified, ok := claims[claimVerified]; ok && c.User == claimEmail && string(verified) != "true" {
		return Viewer{}, errors.New("the mail address is not verified: verify it at the issuer, or choose another claim for the user")
	}
	groups, err := c.groups(claims)
	if err != nil {
		return Viewer{}, err
	}
	return n.viewer(user, groups)
}

// groups returns the groups in a token. A list without members is one, but a missing claim is a mistake of the
// configuration.
func (c Claims) groups(claims map[string]json.RawMessage) ([]string, error) {
	if c.Groups == "" {
		return nil, nil
	}
	text, ok := claims[c.Groups]
	if !ok {
		return nil, fmt.Errorf("the ID token has no claim %s: have the issuer add it, request its scope, or choose another claim for the groups", c.Groups)
	}
	var one string
	if json.Unmarshal(text, &one) == nil && string(text) != "null" {
		return []string{one}, nil // some issuers do so for a single group
	}
	var many []*string
	if err := json.Unmarshal(text, &many); err != nil || many == nil {
		return nil, fmt.Errorf("the claim %s is not a list of names", c.Groups)
	}
	var groups []string
	for _, group := range many {
		if group == nil {
			return nil, fmt.Errorf("the claim %s is not a list of names", c.Groups)
		}
		groups = append(groups, *group)
	}
	return groups, nil
}

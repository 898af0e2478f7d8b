package secrets

import (
	"errors"
	"slices"
)

// maxDataKey bounds what a recipient's form of a data key may take: an armored one is some 500 bytes.
const maxDataKey = 64 << 10

var (
	errNoKey      = errors.New("encrypted for others")
	errBadDataKey = errors.New("the encrypted data key is broken")
)

// keyService recovers data keys. It is ours: SOPS' own looks for keys in the environment, the home
// directory and the output of commands, and asks whichever server a file names.
type keyService struct {
	keys   *Keys
	remote *remoteService
}

// dataKey recovers the key that the values of a file are encrypted with.
func (s keyService) dataKey(m *metadata) ([]byte, error) {
	var (
		shares [][]byte
		worst  *Error
	)
	for _, group := range m.groups {
		share, err := s.share(group)
		if err == nil {
			shares = append(shares, share)
		} else {
			worst = graver(worst, err)
		}
	}
	switch {
	case len(m.groups) == 1 && len(shares) == 1:
		return shares[0], nil
	case len(m.groups) > 1 && len(shares) >= max(m.threshold, 2):
		return combine(shares)
	case worst != nil:
		return nil, worst
	}
	return nil, tampered("the parts of its data key do not suffice")
}

// share lets the first recipient whose key is at hand decrypt what all of a group can.
func (s keyService) share(group []recipient) ([]byte, *Error) {
	worst := &Error{Reason: NoKey}
	for _, r := range group {
		if len(r.dataKey) > maxDataKey {
			return nil, tampered("its data key for " + shortened(r.name) + " is broken")
		}
		share, err := s.open(r)
		if err == nil {
			return share, nil
		}
		var remote *Error
		switch {
		case errors.Is(err, errNoKey) && slices.Contains(s.keys.recipients, r.name):
			worst = graver(worst, tampered("its data key for "+shortened(r.name)+" is broken"))
		case errors.As(err, &remote):
			worst = graver(worst, remote)
		case errors.Is(err, errBadDataKey):
			worst = graver(worst, tampered("its data key for "+shortened(r.name)+" is broken"))
		}
	}
	return nil, worst
}

func (s keyService) open(r recipient) ([]byte, error) {
	switch r.kind {
	case kindAge:
		return s.keys.openAge(r.dataKey)
	case kindPGP:
		return s.keys.openPGP(r.dataKey)
	case kindHCKMS:
		return nil, &Error{Reason: NotAllowed, Detail: shortened(r.name) + " is a key of Huawei Cloud, which is not supported"}
	}
	return s.remote.open(r)
}

// graver returns the one of two errors that says more about why a file stays closed: a service that
// would have the key comes before the lack of one.
func graver(a, b *Error) *Error {
	rank := map[Reason]int{NoKey: 1, NotAllowed: 2, Tampered: 3, Unreachable: 4}
	if a == nil || rank[b.Reason] > rank[a.Reason] || b.Reason == a.Reason && a.Detail == "" {
		return b
	}
	return a
}

package secrets

import "slices"

// Envelope is what a file says about its encryption, for whoever holds no key.
type Envelope struct {
	// Recipients are those that the file is encrypted for: of a YAML file with several documents, those
	// of all.
	Recipients []string
	// Groups counts the groups of recipients of which several are needed; 1 if any recipient will do.
	Groups int
	// Authenticated says that every part of the file has a MAC. Whether it is right takes a key.
	Authenticated bool
}

// Inspect reads what an encrypted file says about itself. Its error is an *Error.
func Inspect(file string, content []byte) (Envelope, error) {
	parts, err := envelopes(file, content)
	e := Envelope{Authenticated: true}
	for _, part := range parts {
		var m *metadata
		if m, err = newMetadata(part); err != nil {
			break
		}
		for _, name := range m.recipients() {
			if !slices.Contains(e.Recipients, name) {
				e.Recipients = append(e.Recipients, name)
			}
		}
		e.Groups = max(e.Groups, len(m.groups))
		e.Authenticated = e.Authenticated && m.mac != ""
	}
	if err != nil {
		return e, New(Config{}).explained(err, file)
	}
	return e, nil
}

// envelopes returns SOPS' own parts of a file.
func envelopes(file string, content []byte) (parts []branch, err error) {
	defer func() {
		if recover() != nil { // what it says may quote the file
			parts, err = nil, malformed("reading it breaks a library")
		}
	}()
	if f, single := formatOf(file, content); single {
		_, part, err := f.parse(content)
		if err == nil && part == nil {
			err = malformed("it has encrypted values and no part that says for whom")
		}
		return []branch{part}, err
	}
	documents, err := parseYAML(content)
	if err != nil {
		return nil, err
	}
	for _, group := range together(documents) {
		parts = append(parts, documents[group[0]].meta)
	}
	if len(parts) == 0 {
		return nil, malformed("none of its documents has the key sops")
	}
	return parts, nil
}

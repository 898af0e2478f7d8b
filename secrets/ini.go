package secrets

import (
	"bytes"
	"strings"

	"gopkg.in/ini.v1"
)

func parseINI(content []byte) (rest, meta branch, err error) {
	file, err := ini.LoadSources(ini.LoadOptions{AllowNonUniqueSections: true}, content)
	if err != nil {
		return nil, nil, malformed("its INI does not parse") // the library's error quotes the line
	}
	var document branch
	for _, section := range file.Sections() {
		document = append(document, item{key: section.Name(), value: iniSection(section)})
	}
	rest, flat, err := cutMetadata(document)
	if err != nil || flat == nil {
		return rest, nil, err
	}
	for _, it := range flat {
		if l, ok := it.value.(*leaf); ok {
			l.value = strings.ReplaceAll(l.value.(string), `\n`, "\n")
		}
	}
	meta, err = unflatten(flat)
	return rest, meta, err
}

// iniSection puts the comments where SOPS does: that of a section first, that of a key behind it.
func iniSection(section *ini.Section) branch {
	b := branch{}
	if section.Comment != "" {
		b = append(b, item{comment: true, key: iniComment(section.Comment)})
	}
	for _, key := range section.Keys() {
		b = append(b, item{key: key.Name(), value: &leaf{value: key.Value()}})
		if key.Comment != "" {
			b = append(b, item{comment: true, key: iniComment(key.Comment)})
		}
	}
	return b
}

func iniComment(text string) string {
	switch {
	case strings.HasPrefix(text, ";"):
		return strings.TrimLeft(text, "; ")
	case strings.HasPrefix(text, "#"):
		return strings.TrimLeft(text, "# ")
	}
	return text
}

func emitINI(b branch) ([]byte, error) {
	file := ini.Empty(ini.LoadOptions{AllowNonUniqueSections: true})
	file.DeleteSection(ini.DefaultSection)
	for _, it := range b {
		values, _ := it.value.(branch)
		if it.key == ini.DefaultSection && len(values) == 0 {
			continue // the library invents it
		}
		section, err := file.NewSection(it.key)
		if err != nil {
			return nil, malformed("its section %q cannot be written as INI", shortened(it.key))
		}
		for _, value := range values {
			l, ok := value.value.(*leaf)
			if value.comment || !ok {
				continue
			}
			if _, err := section.NewKey(value.key, plainText(l.value)); err != nil {
				return nil, malformed("its key %q cannot be written as INI", shortened(value.key))
			}
		}
	}
	var out bytes.Buffer
	if _, err := file.WriteTo(&out); err != nil {
		return nil, malformed("it cannot be written as INI")
	}
	return out.Bytes(), nil
}

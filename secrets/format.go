package secrets

import (
	"bytes"
	"path"
	"regexp"
	"strings"
)

// format is one of SOPS' formats that holds one document.
type format struct {
	// parse returns the document and SOPS' own part of it, which is nil if there is none.
	parse func(content []byte) (rest, meta branch, err error)
	emit  func(branch) ([]byte, error)
	// value says how emit writes a value.
	value func(any) Value
}

var (
	jsonFormat   = format{parseJSON, emitJSON, scalar}
	binaryFormat = format{parseJSON, emitBinary, scalarText}
	dotenvFormat = format{parseDotenv, emitDotenv, dotenvText}
	iniFormat    = format{parseINI, emitINI, scalarText}
)

var (
	dotenvEnvelope = regexp.MustCompile(`(?m)^sops_(mac|version|lastmodified)=`)
	iniEnvelope    = regexp.MustCompile(`(?m)^\[sops\]\s*$`)
	// yamlEnvelope finds it in text that does not parse.
	yamlEnvelope = regexp.MustCompile(`(?m)^["']?sops["']?[ \t]*:[ \t]*(?:#.*|\{.*)?\r?$`)
	jsonEnvelope = regexp.MustCompile(`"sops"\s*:\s*\{`)
)

// Encrypted says whether a file is a SOPS document, or the rest of one: whatever has SOPS' own part in
// the form of any format, or an encrypted value outside of a comment. Decrypt is for these, and these
// alone; it refuses those that are not whole.
func Encrypted(file string, content []byte) bool {
	if hasEncryptedValue(content) {
		return true
	}
	if !bytes.Contains(content, []byte(metadataKey)) {
		return false
	}
	if dotenvEnvelope.Match(content) && !isYAML(file) || iniEnvelope.Match(content) {
		return true
	}
	return yamlEnvelope.Match(content) || jsonEnvelope.Match(content) && looksLikeJSON(content)
}

// hasEncryptedValue looks at lines, since a file that was cut off parses in no format.
func hasEncryptedValue(content []byte) bool {
	rest := content
	for {
		at := bytes.Index(rest, []byte(encryptedPrefix))
		if at < 0 {
			return false
		}
		line := rest[bytes.LastIndexByte(rest[:at], '\n')+1 : at]
		line = bytes.TrimLeft(line, " \t")
		if len(line) == 0 || line[0] != '#' && line[0] != ';' {
			return true
		}
		rest = rest[at+len(encryptedPrefix):]
	}
}

func isYAML(file string) bool {
	switch strings.ToLower(path.Ext(file)) {
	case ".yaml", ".yml":
		return true
	}
	return false
}

func looksLikeJSON(content []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n\ufeff"), []byte("{"))
}

// formatOf tells the format of an encrypted file by what is in it, since the files of generators have
// any name. It returns false for YAML. As SOPS has it, the name decides between JSON and a binary
// file, which is JSON with the one key data.
func formatOf(file string, content []byte) (format, bool) {
	if looksLikeJSON(content) {
		rest, _, err := parseJSON(content)
		switch {
		case err != nil && isYAML(file):
			return format{}, false // flow style, perhaps
		case len(rest) == 1 && rest[0].key == "data" && !isYAML(file) && strings.ToLower(path.Ext(file)) != ".json":
			return binaryFormat, true
		}
		return jsonFormat, true
	}
	switch {
	case isYAML(file):
		return format{}, false
	case dotenvEnvelope.Match(content):
		return dotenvFormat, true
	case iniEnvelope.Match(content):
		return iniFormat, true
	case yamlEnvelope.Match(content):
		return format{}, false
	}
	switch strings.ToLower(path.Ext(file)) {
	case ".env":
		return dotenvFormat, true
	case ".ini":
		return iniFormat, true
	}
	return format{}, false
}

package secrets

import (
	"bytes"
	"path"
	"regexp"
	"strings"
)

// Format is a format of SOPS.
type Format string

// The formats of SOPS.
const (
	YAML   Format = "yaml"
	JSON   Format = "json"
	Binary Format = "binary"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
)

const (
	// metadataKey is the key of SOPS' own part of a file.
	metadataKey = "sops"
	// encryptedPrefix begins every value that SOPS encrypted.
	encryptedPrefix = "ENC[AES256_GCM,data:"
)

var (
	dotenvEnvelope = regexp.MustCompile(`(?m)^sops_(mac|version|lastmodified)=`)
	iniEnvelope    = regexp.MustCompile(`(?m)^\[sops\]\s*$`)
	// yamlEnvelope finds it in text that does not parse.
	yamlEnvelope = regexp.MustCompile(`(?m)^["']?sops["']?[ \t]*:[ \t]*(?:#.*|\{.*)?\r?$`)
	jsonEnvelope = regexp.MustCompile(`"sops"\s*:\s*\{`)
)

// Encrypted reports whether a file is a SOPS document, or a part of one: it has SOPS' own part in the form of
// any format, or an encrypted value outside of a comment. Open is for these files only; it refuses those
// that are not whole.
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

// hasEncryptedValue looks at lines, because a file that was cut off parses in no format.
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

// formatOf tells the format of an encrypted file by its content, because the files of generators have any
// name. As in SOPS, the name decides between JSON and a binary file, which is JSON with the one key data.
func formatOf(file string, content []byte) Format {
	if looksLikeJSON(content) {
		outline, err := outlineOfJSON(content)
		switch {
		case err != nil && isYAML(file):
			return YAML // perhaps in flow style
		case outline.isBinary() && !isYAML(file) && strings.ToLower(path.Ext(file)) != ".json":
			return Binary
		}
		return JSON
	}
	switch {
	case isYAML(file):
		return YAML
	case dotenvEnvelope.Match(content):
		return Dotenv
	case iniEnvelope.Match(content):
		return INI
	case yamlEnvelope.Match(content):
		return YAML
	}
	switch strings.ToLower(path.Ext(file)) {
	case ".env":
		return Dotenv
	case ".ini":
		return INI
	}
	return YAML
}

package secrets

import (
	"bytes"
	"path"
	"regexp"
	"strings"
)

// Format is a file format of SOPS.
type Format string

// The file formats of SOPS.
const (
	YAML   Format = "yaml"
	JSON   Format = "json"
	Binary Format = "binary"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
)

const (
	// metadataKey is the key of the metadata that SOPS adds to a file.
	metadataKey = "sops"
	// encryptedPrefix begins every value that SOPS encrypted.
	encryptedPrefix = "ENC[AES256_GCM,data:"
)

var (
	dotenvEnvelope = regexp.MustCompile(`(?m)^sops_(mac|version|lastmodified)=`)
	iniEnvelope    = regexp.MustCompile(`(?m)^\[sops\]\s*$`)
	// yamlEnvelope finds that key in text that does not parse.
	yamlEnvelope = regexp.MustCompile(`(?m)^["']?sops["']?[ \t]*:[ \t]*(?:#.*|\{.*)?\r?$`)
	jsonEnvelope = regexp.MustCompile(`"sops"\s*:\s*\{`)
)

// Encrypted reports whether a file is a SOPS document or a fragment of one. Such a file has SOPS metadata in any
// format, or an encrypted value outside of a comment. Open accepts only these files, and refuses fragments.
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

// hasEncryptedValue searches lines, because a truncated file parses in no format.
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

// formatOf detects the format of an encrypted file by its content, because files of generators may have any name. As in
// SOPS, the name decides between JSON and a binary file, which is JSON with the single key data.
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

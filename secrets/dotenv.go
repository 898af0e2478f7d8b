package secrets

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// metadataPrefix begins the keys of SOPS' own part of a dotenv file.
const metadataPrefix = metadataKey + "_"

func parseDotenv(content []byte) (rest, meta branch, err error) {
	var flat branch
	number := 0
	seen := map[string]bool{}
	for line := range strings.SplitSeq(string(content), "\n") {
		number++
		if line == "" {
			continue
		}
		if text, ok := strings.CutPrefix(line, "#"); ok {
			rest = append(rest, item{comment: true, key: text})
			continue
		}
		key, text, ok := strings.Cut(line, "=")
		if !ok {
			return nil, nil, malformed("its line %d is neither KEY=VALUE nor a comment", number)
		}
		if seen[key] {
			return nil, nil, malformed("it has the key %q twice", shortened(key))
		}
		seen[key] = true
		it := item{key: key, value: &leaf{value: strings.ReplaceAll(text, `\n`, "\n")}}
		if name, ok := strings.CutPrefix(key, metadataPrefix); ok {
			it.key = name
			flat = append(flat, it)
			continue
		}
		rest = append(rest, it)
	}
	if flat == nil {
		return rest, nil, nil
	}
	meta, err = unflatten(flat)
	return rest, meta, err
}

func emitDotenv(b branch) ([]byte, error) {
	var out []byte
	for _, it := range b {
		l, ok := it.value.(*leaf)
		if it.comment || !ok {
			continue
		}
		out = fmt.Appendf(out, "%s=%s\n", it.key, dotenvText(l.value).Text)
	}
	return out, nil
}

func dotenvText(value any) Value {
	return Value{Text: strings.ReplaceAll(plainText(value), "\n", `\n`)}
}

// plainText writes a value where there are only texts, as SOPS does.
func plainText(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case float64:
		text := strconv.FormatFloat(value, 'G', -1, 64)
		if !strings.ContainsAny(text, ".E") {
			text = strconv.FormatFloat(value, 'f', 1, 64)
		}
		return text
	case time.Time:
		return value.Format(time.RFC3339)
	}
	return fmt.Sprint(value)
}

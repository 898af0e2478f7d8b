package secrets

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
)

func parseJSON(content []byte) (rest, meta branch, err error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff"))))
	decoder.UseNumber()
	value, err := jsonValue(decoder, 0)
	if err != nil {
		return nil, nil, err
	}
	document, ok := value.(branch)
	if !ok {
		return nil, nil, malformed("its JSON is not an object")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, nil, malformed("something follows its JSON object")
	}
	return cutMetadata(document)
}

func jsonValue(decoder *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, malformed("its values nest deeper than %d levels", maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, notJSON(decoder)
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return jsonBranch(decoder, depth)
		}
		return jsonList(decoder, depth)
	case json.Number:
		return jsonNumber(token)
	case nil:
		return nil, nil
	default:
		return &leaf{value: token}, nil
	}
}

func notJSON(decoder *json.Decoder) error {
	return malformed("its JSON ends or breaks at byte %d", decoder.InputOffset())
}

func jsonBranch(decoder *json.Decoder, depth int) (any, error) {
	b := branch{}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, notJSON(decoder)
		}
		if seen[key] {
			return nil, malformed("it has the key %q twice", shortened(key))
		}
		seen[key] = true
		value, err := jsonValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		b = append(b, item{key: key, value: value})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, notJSON(decoder)
	}
	return b, nil
}

func jsonList(decoder *json.Decoder, depth int) (any, error) {
	l := sequence{}
	for decoder.More() {
		value, err := jsonValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		l = append(l, value)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, notJSON(decoder)
	}
	return l, nil
}

// jsonNumber reads a number as SOPS does, which the MAC depends on.
func jsonNumber(number json.Number) (any, error) {
	if n, err := number.Int64(); err == nil {
		return &leaf{value: int(n), source: number}, nil
	}
	f, err := number.Float64()
	if err != nil {
		return nil, malformed("it holds a number that is too large")
	}
	return &leaf{value: f, source: number}, nil
}

// emitJSON writes what sops decrypt writes: tabs, and the keys in their order.
func emitJSON(b branch) ([]byte, error) {
	flat, err := appendJSON(nil, b)
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, flat, "", "\t"); err != nil {
		return nil, malformed("it cannot be written as JSON")
	}
	return append(indented.Bytes(), '\n'), nil
}

func appendJSON(out []byte, value any) (_ []byte, err error) {
	switch value := value.(type) {
	case branch:
		out = append(out, '{')
		for i, it := range value {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendScalar(out, it.key); err != nil {
				return nil, err
			}
			if out, err = appendJSON(append(out, ": "...), it.value); err != nil {
				return nil, err
			}
		}
		return append(out, '}'), nil
	case sequence:
		out = append(out, '[')
		value = slices.DeleteFunc(value, func(it any) bool { return it == dropped{} })
		for i, it := range value {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendJSON(out, it); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	case *leaf:
		if number, ok := value.source.(json.Number); ok && !value.opened {
			return append(out, number...), nil
		}
		return appendScalar(out, value.value)
	}
	return append(out, "null"...), nil
}

func appendScalar(out []byte, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, malformed("it holds a value that JSON lacks")
	}
	return append(out, text...), nil
}

// emitBinary writes the file that was encrypted as one value.
func emitBinary(b branch) ([]byte, error) {
	if len(b) == 1 {
		if l, ok := b[0].value.(*leaf); ok {
			if text, ok := l.value.(string); ok {
				return []byte(text), nil
			}
		}
	}
	return nil, malformed("its key data is not the text of a file")
}

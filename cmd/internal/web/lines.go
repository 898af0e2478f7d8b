package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/cmd/internal/inspect"
)

// maxLine is how many characters of a line are shown. It is cut off after its values are masked.
const maxLine = 4000

// level is the severity of a line, as far as the line says it.
type level int

const (
	levelUnknown level = iota
	levelDebug
	levelInfo
	levelWarn
	levelError
)

// levels are the words for levels, and the numbers of pino and bunyan.
var levels = map[string]level{
	"trace": levelDebug, "debug": levelDebug, "10": levelDebug, "20": levelDebug,
	"info": levelInfo, "information": levelInfo, "notice": levelInfo, "30": levelInfo,
	"warn": levelWarn, "warning": levelWarn, "40": levelWarn,
	"error": levelError, "err": levelError, "critical": levelError, "crit": levelError, "alert": levelError, "emergency": levelError,
	"fatal": levelError, "panic": levelError, "50": levelError, "60": levelError,
}

// The fields of JSON lines with a meaning of their own, the usual ones first.
var (
	levelFields   = []string{"level", "lvl", "severity", "log.level", "level_name"}
	messageFields = []string{"msg", "message", "event"}
	timeFields    = []string{"time", "ts", "timestamp", "@timestamp", "datetime", "t"}
)

// line is a line of a log as it is shown.
type line struct {
	Clock, Exact   string
	Pod, Container string
	Level          string
	Tone           tone
	Text           string
	// Fields are those of a JSON line beside its message.
	Fields string

	rank level
}

var levelTones = map[level]tone{levelDebug: toneIdle, levelInfo: toneIdle, levelWarn: toneWarn, levelError: toneBad}

func lineOf(l inspect.Line, mask inspect.Mask) line {
	v := line{Pod: l.Pod, Container: l.Container, Text: clip(mask.Hide(l.Text))}
	if !l.Time.IsZero() {
		v.Clock, v.Exact = l.Time.UTC().Format("15:04:05.000"), l.Time.UTC().Format(time.RFC3339Nano)
	}
	if v.parse() { // decoding may have written a value in another way
		v.Level, v.Text, v.Fields = mask.Hide(v.Level), mask.Hide(v.Text), mask.Hide(v.Fields)
	}
	return v
}

func clip(text string) string {
	if len(text) <= maxLine {
		return text
	}
	return strings.ToValidUTF8(text[:maxLine], "") + "…"
}

// parse separates the level and the message of a JSON line, and reports whether it is one. It leaves any other text as
// it is.
func (l *line) parse() bool {
	if !strings.HasPrefix(l.Text, "{") {
		return false
	}
	decoder := json.NewDecoder(strings.NewReader(l.Text))
	decoder.UseNumber()
	var fields map[string]any
	if decoder.Decode(&fields) != nil || decoder.More() {
		return false
	}
	word := take(fields, levelFields)
	l.rank = levels[strings.ToLower(word)]
	l.Level, l.Tone = word, levelTones[l.rank]
	message := take(fields, messageFields)
	for _, field := range timeFields {
		delete(fields, field)
	}
	var rest []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		rest = append(rest, key+"="+textOf(fields[key]))
	}
	l.Text, l.Fields = message, strings.Join(rest, " ")
	return true
}

// take removes the first of some fields that is there, and returns its value.
func take(fields map[string]any, names []string) string {
	for _, name := range names {
		if value, ok := fields[name]; ok {
			delete(fields, name)
			return textOf(value)
		}
	}
	return ""
}

func textOf(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case map[string]any, []any:
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if encoder.Encode(value) == nil {
			return strings.TrimSpace(text.String())
		}
	}
	return fmt.Sprint(value)
}

// plain returns a line as text, for downloads.
func (l line) plain() string {
	return strings.TrimRight(strings.Join([]string{l.Exact, l.Pod, l.Container, l.Level, l.Text, l.Fields}, " "), " ") + "\n"
}

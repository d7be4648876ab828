package abi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// StdoutMode says how the stdout of a command is read. It is the manifest key
// "stdout" of a step.
type StdoutMode string

// The modes of StdoutMode.
const (
	StdoutAuto StdoutMode = ""     // JSON when it is JSON, else text
	StdoutJSON StdoutMode = "json" // anything but JSON is an error
	StdoutText StdoutMode = "text" // always the output "stdout"
	StdoutLog  StdoutMode = "log"  // log lines, no outputs
)

// Names of the outputs that stdout becomes when it is no JSON object.
const (
	OutputResult = "result" // a JSON value other than an object
	OutputStdout = "stdout" // text
)

// ErrNotUTF8 is returned by OutputsOfStdout for bytes that are no text. The
// host stores them as an artifact and sets the output "stdout" to its
// reference.
var ErrNotUTF8 = errors.New("stdout is not UTF-8 text")

// OutputsOfStdout returns the outputs that the stdout of a command stands for:
// the members of a JSON object, "result" for any other JSON value, "stdout"
// for text, unchanged. Blank stdout gives none. JSON that is nested too deep,
// and anything but JSON in mode StdoutJSON, is Invalid; other errors are
// ErrNotUTF8. The limits of an attempt are checked by Attempt.Stdout.
func OutputsOfStdout(stdout []byte, mode StdoutMode) (map[string]json.RawMessage, error) {
	if mode == StdoutLog {
		return nil, nil
	}
	if !utf8.Valid(stdout) {
		return nil, ErrNotUTF8
	}
	if mode == StdoutText {
		return textOutput(stdout)
	}
	doc := bytes.TrimSpace(stdout)
	switch {
	case len(doc) == 0 && mode == StdoutAuto:
		return nil, nil
	case !json.Valid(doc) && mode == StdoutAuto:
		return textOutput(stdout)
	case !json.Valid(doc):
		return nil, refuse(Invalid, "stdout is not JSON")
	case CheckJSON(doc) != OK:
		return nil, refuse(Invalid, "stdout is JSON nested deeper than %d", MaxDepth)
	case doc[0] != '{':
		return map[string]json.RawMessage{OutputResult: bytes.Clone(doc)}, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc, &members); err != nil {
		return nil, refuse(Invalid, "stdout: %v", err)
	}
	return members, nil
}

func textOutput(stdout []byte) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(string(stdout))
	if err != nil {
		return nil, fmt.Errorf("stdout: %w", err)
	}
	return map[string]json.RawMessage{OutputStdout: text}, nil
}

// VerdictOfExit returns the verdict for the exit code of a command. The last
// line of stderr is the message where there is one.
func VerdictOfExit(code uint32, lastStderrLine string) Verdict {
	_, message, _ := ParseStderrLine(lastStderrLine)
	v := Verdict{Message: ClipMessage(message)}
	if v.Message == "" {
		v.Message = fmt.Sprintf("exited with code %d", code)
	}
	switch code {
	case ExitOK:
		return Verdict{}
	case ExitRetry:
		v.Kind = KindRetry
	case ExitDataError, ExitConfig:
		v.Kind = KindPermanent
	case ExitSkip:
		v.Kind = KindSkip
	default:
		v.Kind = KindFailed
		v.Code = fmt.Sprintf("exit_%d", code)
	}
	return v
}

// ParseStderrLine reads one line of a command's stderr. A prefix "debug:",
// "info:", "warn:" or "error:" sets the level; a JSON object gives its level,
// its message and its other members as fields; any other line is LevelInfo.
// Bytes that are not UTF-8 are replaced.
func ParseStderrLine(line string) (level Level, message string, fields map[string]json.RawMessage) {
	line = strings.ToValidUTF8(strings.TrimSpace(line), "\uFFFD")
	if strings.HasPrefix(line, "{") && CheckJSON([]byte(line)) == OK {
		return parseJSONLine(line)
	}
	for l := LevelDebug; l <= LevelError; l++ {
		if rest, ok := strings.CutPrefix(line, l.String()+":"); ok {
			return l, strings.TrimSpace(rest), nil
		}
	}
	return LevelInfo, line, nil
}

// parseJSONLine reads the common shapes of structured log lines: the level
// under "level", the message under "msg" or "message".
func parseJSONLine(line string) (level Level, message string, fields map[string]json.RawMessage) {
	if json.Unmarshal([]byte(line), &fields) != nil {
		return LevelInfo, line, nil
	}
	level = LevelInfo
	if name, ok := takeString(fields, "level"); ok {
		level = levelByName(name)
	}
	message, ok := takeString(fields, "msg")
	if !ok {
		message, _ = takeString(fields, "message")
	}
	if len(fields) == 0 {
		fields = nil
	}
	return level, message, fields
}

// takeString removes a member that is a string and returns it.
func takeString(fields map[string]json.RawMessage, key string) (string, bool) {
	var s *string
	if json.Unmarshal(fields[key], &s) != nil || s == nil {
		return "", false
	}
	delete(fields, key)
	return *s, true
}

func levelByName(name string) Level {
	name, _, _ = strings.Cut(strings.ToLower(name), "+")
	name, _, _ = strings.Cut(name, "-")
	switch name {
	case "warning":
		return LevelWarn
	case "fatal", "critical", "panic":
		return LevelError
	}
	for i, n := range levelNames {
		if n == name {
			return Level(i)
		}
	}
	return LevelInfo
}

// ClipMessage returns message as valid UTF-8 of at most MaxMessage bytes,
// without cutting a character.
func ClipMessage(message string) string {
	message = strings.ToValidUTF8(message, "\uFFFD")
	if len(message) <= MaxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:MaxMessage], "")
}

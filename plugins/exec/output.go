package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

// readStdout reads to the end, and ends the command when it prints too much.
func (x *execution) readStdout(r io.Reader, end context.CancelCauseFunc) {
	limited := &limitedReader{r: r, left: x.in.MaxOutput}
	var err error
	switch x.in.Stdout {
	case stdoutArtifact:
		err = x.call.Artifact(abi.OutputStdout, x.in.Type, limited)
	case string(abi.StdoutLog):
		eachLine(r, func(line string) { x.call.Info("%s", line) })
	default:
		x.out, err = io.ReadAll(limited)
	}
	if err != nil {
		x.failed = err
		end(err)
	}
	_, _ = io.Copy(io.Discard, r) // so that the command does not wait for a reader
}

// limitedReader fails with errTooMuch where r goes on. A pipe that nobody may read any longer is at its end.
type limitedReader struct {
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooMuch
	}
	if err != nil {
		err = io.EOF
	}
	return n, err
}

// readStderr makes log lines of standard error and keeps the last one.
func (x *execution) readStderr(r io.Reader) {
	eachLine(r, func(line string) {
		if strings.TrimSpace(line) == "" {
			return
		}
		x.last = line
		x.log(line)
	})
}

func (x *execution) log(line string) {
	level, message, fields := abi.ParseStderrLine(line)
	if len(fields) > 0 {
		if doc, err := json.Marshal(fields); err == nil {
			message += " " + string(doc)
		}
	}
	switch level {
	case abi.LevelTrace, abi.LevelDebug:
		x.call.Debug("%s", message)
	case abi.LevelWarn:
		x.call.Warn("%s", message)
	case abi.LevelError:
		x.call.Error("%s", message)
	default:
		x.call.Info("%s", message)
	}
}

// eachLine calls f for each line of r, without its end; a longer line than a message may be is cut.
func eachLine(r io.Reader, f func(string)) {
	buffered := bufio.NewReaderSize(r, abi.MaxMessage)
	for rest := false; ; {
		line, err := buffered.ReadSlice('\n')
		if !rest && len(line) > 0 {
			f(strings.TrimRight(string(line), "\r\n"))
		}
		if rest = errors.Is(err, bufio.ErrBufferFull); err != nil && !rest {
			return
		}
	}
}

// outputs makes outputs of standard output.
func (x *execution) outputs() error {
	if x.in.Stdout == stdoutArtifact {
		return nil // it is one already
	}
	found, err := abi.OutputsOfStdout(x.out, abi.StdoutMode(x.in.Stdout))
	if errors.Is(err, abi.ErrNotUTF8) {
		return x.call.Artifact(abi.OutputStdout, x.in.Type, bytes.NewReader(x.out))
	}
	if err != nil {
		return process.Fail("stdout", err)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if err := x.call.Output(name, found[name]); err != nil {
			return err
		}
	}
	return nil
}

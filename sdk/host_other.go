//go:build !wasip1

package uniflow

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// stdio is the Host of a plain program: outputs are printed as one JSON object
// at the end, log lines go to stderr, and the reason of a failure is its last
// line. It follows the command profile, so that such a program is a step too.
type stdio struct {
	attempt *abi.Attempt
	stdout  io.Writer
	stderr  io.Writer
	reason  string
}

// connect returns the Host of a program that runs outside of WebAssembly.
func connect() *stdio { return newStdio(os.Stdout, os.Stderr) }

func input() ([]byte, error) { return readAll(os.Stdin) }

func newStdio(stdout, stderr io.Writer) *stdio {
	return &stdio{attempt: abi.NewAttempt(abi.Limits{}), stdout: stdout, stderr: stderr}
}

func (s *stdio) Output(name string, value []byte) error { return s.attempt.Output(name, value).Err() }

// Log prints a line; the profile has no prefix for trace. Nobody is left to
// hear that stderr is broken.
func (s *stdio) Log(level abi.Level, message string) {
	level = max(level, abi.LevelDebug)
	for line := range strings.Lines(message) {
		_, _ = fmt.Fprintf(s.stderr, "%s: %s\n", level, strings.TrimRight(line, "\r\n"))
	}
}

func (s *stdio) Fail(kind abi.Kind, message []byte) {
	s.attempt.Fail(kind, message)
	s.reason = strings.Join(strings.Fields(s.attempt.Settle(0).Message), " ")
}

func (s *stdio) Progress(permille int, message string) bool {
	s.Log(abi.LevelInfo, fmt.Sprintf("%d.%d %% %s", permille/10, permille%10, message))
	return false
}

func (s *stdio) Call(string, []byte, []byte) ([]byte, error) { return nil, abi.UnknownOp }

// finish prints what there is to say and returns the exit code.
func (s *stdio) finish(kind abi.Kind) uint32 {
	if kind == abi.KindOK || kind == abi.KindSkip {
		if err := json.NewEncoder(s.stdout).Encode(s.attempt.Outputs()); err != nil {
			s.Log(abi.LevelError, fmt.Sprintf("print outputs: %v", err))
			return abi.KindFailed.ExitCode()
		}
	}
	if s.reason != "" {
		s.Log(abi.LevelError, s.reason)
	}
	return kind.ExitCode()
}

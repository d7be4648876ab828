package manifest

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// TestPipeIsNotWaitedFor guards against opening a named pipe that nobody writes to, which would block for ever.
func TestPipeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "uniflow.toml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(pipe); flow.CodeOf(err) != flow.CodeFileKind {
		t.Errorf("got %v, want %s", err, flow.CodeFileKind)
	}
}

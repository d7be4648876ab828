package host_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// Promise: an artifact lives as long as a record refers to it, and no longer.
func TestArtifactsThatNobodyRefersToGo(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	h := begin(t, host.Config{Data: data})
	define(t, h, flow.Pipeline{Name: "files"}, func(ctx context.Context, c *host.Call) error {
		kept, err := c.Artifact(ctx, "kept", "text/plain", strings.NewReader("kept"))
		if err != nil {
			return err
		}
		_, err = c.Artifact(ctx, "dropped", "text/plain", strings.NewReader("dropped"))
		return errors.Join(err, c.Output("kept", kept))
	})
	if _, err := h.RunNow(t.Context(), "files", nil); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	file := func(content string) string {
		name := flow.DigestOf([]byte(content)).Hex()
		return filepath.Join(data, "artifacts", flow.DefaultTenant, "sha256", name[:2], name)
	}
	for _, content := range []string{"kept", "dropped"} {
		if err := os.Chtimes(file(content), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	there := func(content string) bool {
		_, err := os.Stat(file(content))
		return !errors.Is(err, fs.ErrNotExist)
	}
	for deadline := time.Now().Add(20 * time.Second); there("dropped"); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an artifact that nothing refers to stays")
		}
	}
	if !there("kept") { // its digest comes first, so it has been judged
		t.Error("an artifact of an output has gone")
	}
}

package host_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/internal/plugintest/hostile"
	"github.com/uniflow-dev/uniflow/host/internal/process"
)

// TestHostileModulesInWorkers runs the corpus against the engine inside workers, which are this program. A module is loaded
// in a process of its own, so that of cases with hundreds of modules a few stand for all; reading them is the same code
// as beside the host, where all are read.
func TestHostileModulesInWorkers(t *testing.T) {
	t.Parallel()
	if hostile.Racing {
		t.Skip("the detector does not see what workers do, and makes their start ten times slower")
	}
	workers, err := process.New(process.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Parallel: 8, Start: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := workers.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	hostile.Run(t, hostile.Subject{Runtime: workers, Sample: 1})
}

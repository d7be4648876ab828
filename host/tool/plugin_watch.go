package tool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
)

// PluginWatch says what WatchPlugins watches.
type PluginWatch struct {
	// Target names the manifest; its folder is watched.
	Target Target
	// Rounds ends the watch after so many rounds. Defaults to none: ctx ends it.
	Rounds int
	// Interval is the time between two looks. Defaults to 300 ms.
	Interval time.Duration
}

const (
	watchInterval = 300 * time.Millisecond
	maxWatched    = 20_000 // files; a folder with more is not the folder of a plugin
)

// WatchPlugins builds the plugins of a folder and runs their cases, and does so again whenever a file there changes. What
// keeps a round from its end is told and waits for the next change; the error says why nothing can be watched. It returns
// nil when ctx ends.
func WatchPlugins(ctx context.Context, w PluginWatch, tell func(flow.PluginEvent)) error {
	if w.Interval <= 0 {
		w.Interval = watchInterval
	}
	dir := filepath.Dir(w.Target.manifest())
	changed := ""
	for round := 1; ; round++ {
		event := w.round(ctx)
		// What the round itself wrote is no change.
		seen, err := snapshot(dir, w.ignored(dir))
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
		event.Changed = changed
		tell(event)
		if round == w.Rounds {
			return nil
		}
		if changed, err = w.await(ctx, dir, seen); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// round builds and tests once.
func (w *PluginWatch) round(ctx context.Context) flow.PluginEvent {
	var event flow.PluginEvent
	fail := func(err error) flow.PluginEvent {
		event.Problem = err.Error()
		event.Hint = hintOf(err)
		return event
	}
	built, err := BuildPlugins(ctx, w.Target, true)
	if err != nil {
		return fail(err)
	}
	event.Built = &built
	tests, err := TestPlugin(ctx, PluginTesting{Manifest: w.Target.Manifest})
	if err != nil {
		return fail(err)
	}
	event.Tests = &tests
	return event
}

// stamp is what is looked at to see that a file has changed.
type stamp struct {
	size int64
	at   time.Time
}

// await returns the first file that differs from what was seen, once nothing changes any more.
func (w *PluginWatch) await(ctx context.Context, dir string, seen map[string]stamp) (string, error) {
	ticks := time.NewTicker(w.Interval)
	defer ticks.Stop()
	changed := ""
	for {
		select {
		case <-ctx.Done():
			return "", nil
		case <-ticks.C:
		}
		now, err := snapshot(dir, w.ignored(dir))
		if err != nil {
			return "", err
		}
		different := difference(seen, now)
		if different == "" && changed != "" {
			return changed, nil
		}
		if different != "" {
			changed, seen = different, now
		}
	}
}

// difference is the first file by name that is new, gone or changed; "" for none.
func difference(before, now map[string]stamp) string {
	all := maps.Clone(before)
	maps.Copy(all, now)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if before[path] != now[path] {
			return path
		}
	}
	return ""
}

// ignored are the files and folders below dir that builds and hosts write.
func (w *PluginWatch) ignored(dir string) map[string]bool {
	skip := map[string]bool{}
	for _, name := range []string{".git", "node_modules", "target", "zig-out", ".zig-cache", "zig-cache", "__pycache__", "nimcache", "data", "uniflow.lock"} {
		skip[filepath.Join(dir, name)] = true
	}
	doc, err := manifest.Load(w.Target.manifest())
	if err != nil {
		return skip
	}
	for _, p := range doc.Manifest.Plugins {
		for _, file := range []string{p.Wasm, p.Process} {
			if file != "" && len(p.Build) > 0 {
				skip[filepath.Join(dir, filepath.FromSlash(file))] = true
			}
		}
	}
	return skip
}

// snapshot looks at all files of a folder.
func snapshot(dir string, skip map[string]bool) (map[string]stamp, error) {
	found := map[string]stamp{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since its folder was read
			return nil
		case err != nil:
			return err
		case skip[path] && entry.IsDir():
			return fs.SkipDir
		case skip[path] || !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // gone since its folder was read
		}
		found[path] = stamp{info.Size(), info.ModTime()}
		if len(found) > maxWatched {
			return &flow.Error{Code: flow.CodeInput, Op: "watch " + dir, Message: fmt.Sprintf("it has more than %d files", maxWatched), Hint: "name the folder of the plugin: uniflow plugin dev DIR"}
		}
		return nil
	})
	return found, err
}

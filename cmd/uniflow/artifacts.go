package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// maxArtifacts bounds how many artifacts of a run are listed, and maxDepth how deep in an output they are looked for.
const (
	maxArtifacts = 1000
	maxDepth     = 16
)

// artifactsOf lists the artifacts among the outputs of a run's steps.
func artifactsOf(r *flow.RunRecord) []flow.ArtifactFile {
	var all []flow.ArtifactFile
	for i := range r.Steps {
		s := &r.Steps[i]
		for name, raw := range s.NamedOutputs() {
			collect(&all, s.Name, name, raw, maxDepth)
		}
	}
	sortArtifacts(all)
	return all
}

// collect finds references within a value.
func collect(all *[]flow.ArtifactFile, step, name string, raw json.RawMessage, depth int) {
	if depth == 0 || len(*all) >= maxArtifacts {
		return
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) == nil && object != nil {
		var ref flow.ArtifactRef
		if _, found := object["$artifact"]; found && json.Unmarshal(raw, &ref) == nil && ref.Digest.Valid() {
			*all = append(*all, flow.ArtifactFile{Step: step, Output: name, Digest: ref.Digest, Bytes: ref.Size, Type: ref.Type})
			return
		}
		for key, value := range object {
			collect(all, step, name+"."+key, value, depth-1)
		}
		return
	}
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) == nil {
		for i, value := range elements {
			collect(all, step, name+"."+strconv.Itoa(i), value, depth-1)
		}
	}
}

// saveArtifact writes an artifact's bytes to a file of its own name in dir. It is a copy: the host's own file is named
// by its digest and must not change.
func saveArtifact(ctx context.Context, l *tool.Link, run flow.RunID, f *flow.ArtifactFile, dir string) error {
	op := fmt.Sprintf("write artifact %s of step %s", f.Output, f.Step)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	r, err := l.Artifact(ctx, run, f.Digest)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer r.Close()
	temp, err := os.CreateTemp(dir, ".*.tmp")
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer os.Remove(temp.Name())
	_, err = io.Copy(temp, r)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	target := filepath.Join(dir, fileName(f.Output, f.Type))
	if err := os.Rename(temp.Name(), target); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	f.Path = target
	return nil
}

// extensions of media types, for outputs whose name has none. The system's own table differs from machine to machine.
var extensions = map[string]string{
	"application/json": ".json", "application/pdf": ".pdf", "application/zip": ".zip", "application/xml": ".xml",
	"image/png": ".png", "image/jpeg": ".jpg", "image/svg+xml": ".svg", "image/gif": ".gif",
	"text/csv": ".csv", "text/html": ".html", "text/markdown": ".md", "text/plain": ".txt",
}

// fileName makes a file's name of an output's: guests choose those, so only plain characters are kept, and the result is
// neither hidden nor a path.
func fileName(output, mediaType string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, output)
	name = strings.TrimLeft(name, ".")
	name = strings.TrimRight(name[:min(len(name), 100)], ".") // Windows drops dots at the end
	if name == "" {
		name = "artifact"
	}
	kind, _, _ := strings.Cut(mediaType, ";")
	if path.Ext(name) == "" {
		name += extensions[strings.TrimSpace(kind)]
	}
	return name
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	switch s := flow.Size(n); {
	case s >= flow.MiB:
		return fmt.Sprintf("%.1f MiB", float64(s)/float64(flow.MiB))
	case s >= flow.KiB:
		return fmt.Sprintf("%.1f KiB", float64(s)/float64(flow.KiB))
	}
	return fmt.Sprintf("%d B", n)
}

// sortArtifacts orders by step and output: maps have no order of their own.
func sortArtifacts(all []flow.ArtifactFile) {
	slices.SortFunc(all, func(a, b flow.ArtifactFile) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Output, b.Output))
	})
}

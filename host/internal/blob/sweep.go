package blob

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Sweep removes the artifacts that were last put before an instant and that nobody wants, and what a crash left half
// written. It returns how many files went, also when an error or ctx cut it short. An artifact that is put again
// meanwhile stays.
func (s *Store) Sweep(ctx context.Context, before time.Time, wanted func(tenant string, d flow.Digest) (bool, error)) (int, error) {
	removed := 0
	err := fs.WalkDir(s.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		tenant, _, _ := strings.Cut(name, "/")
		if d := flow.Digest("sha256:" + path.Base(name)); d.Valid() && name == place(tenant, d) {
			if keep, err := wanted(tenant, d); keep || err != nil {
				return err
			}
		}
		gone, err := s.remove(name, before)
		if gone {
			removed++
		}
		return err
	})
	if err != nil {
		return removed, fmt.Errorf("sweep artifacts: %w", err)
	}
	return removed, nil
}

// remove removes a file that is old enough.
func (s *Store) remove(name string, before time.Time) (bool, error) {
	s.names.Lock()
	defer s.names.Unlock()
	info, err := s.root.Stat(name)
	if err != nil || !info.ModTime().Before(before) {
		return false, err
	}
	if err := s.root.Remove(name); err != nil {
		return true, err
	}
	s.removed(name, info.Size())
	return true, nil
}

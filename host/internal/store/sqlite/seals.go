package sqlite

import (
	"context"
	"fmt"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// PutSeal records the digest of what was compiled from a module.
func (s *Store) PutSeal(ctx context.Context, name string, d flow.Digest) error {
	return s.do(ctx, func(w *writer) error {
		_, err := w.exec("INSERT INTO seals (name, digest) VALUES (?, ?) ON CONFLICT DO UPDATE SET digest = excluded.digest", name, d)
		return err
	})
}

// Seal returns what PutSeal recorded last, or flow.ErrNotFound.
func (s *Store) Seal(ctx context.Context, name string) (flow.Digest, error) {
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (d flow.Digest, err error) { return d, row.Scan(&d) },
		"SELECT digest FROM seals WHERE name = ?", name)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("seal %q: %w", name, flow.ErrNotFound)
	}
	return found[0], nil
}

package sqlite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Tokens returns all tokens by name, with the hashes of their secrets.
func (s *Store) Tokens(ctx context.Context) ([]flow.StoredToken, error) {
	return collect(ctx, reader{s.readers}, scanToken, "SELECT hash, body FROM tokens ORDER BY name")
}

func scanToken(row scanner) (t flow.StoredToken, err error) {
	var body string
	if err := row.Scan(&t.Hash, &body); err != nil {
		return t, err
	}
	return t, decode(body, &t.Token)
}

// AddToken records a token. A name that is taken is an error with CodeExists.
func (s *Store) AddToken(ctx context.Context, t flow.StoredToken) error {
	body, err := encode(t.Token)
	if err != nil {
		return err
	}
	return s.do(ctx, func(w *writer) error {
		n, err := w.exec("INSERT INTO tokens (name, hash, body) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING", t.Name, t.Hash, body)
		if err == nil && n == 0 {
			return &flow.Error{Code: flow.CodeExists, Op: fmt.Sprintf("make token %q", t.Name), Message: "there is a token of that name", Hint: "choose another name, or revoke the other one: uniflow token revoke " + t.Name}
		}
		return err
	})
}

// RemoveToken removes a token. An unknown one is flow.ErrNotFound.
func (s *Store) RemoveToken(ctx context.Context, name string) error {
	return s.do(ctx, func(w *writer) error {
		n, err := w.exec("DELETE FROM tokens WHERE name = ?", name)
		if err == nil && n == 0 {
			return fmt.Errorf("token %q: %w", name, flow.ErrNotFound)
		}
		return err
	})
}

// TouchTokens records when tokens were used last, by name. One that is gone is left alone.
func (s *Store) TouchTokens(ctx context.Context, used map[string]time.Time) error {
	return s.do(ctx, func(w *writer) error {
		for _, name := range slices.Sorted(maps.Keys(used)) {
			if _, err := w.exec("UPDATE tokens SET body = json_set(body, '$.last_used', ?) WHERE name = ?", used[name].UTC().Format(time.RFC3339Nano), name); err != nil {
				return err
			}
		}
		return nil
	})
}

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// nanos is how an instant is stored: exact, and ordered as a number. It holds years 1678 to 2262, and takes what lies
// beyond for the nearest instant that it holds; the zero instant is 0.
func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// nanosOf stores nil as NULL.
func nanosOf(t *time.Time) any {
	if t == nil {
		return nil
	}
	return nanos(*t)
}

// instant reads what nanos and nanosOf store.
type instant struct{ sql.NullInt64 }

func (i instant) time() time.Time {
	if !i.Valid || i.Int64 == 0 {
		return time.Time{}
	}
	return time.Unix(0, i.Int64).UTC()
}

func (i instant) pointer() *time.Time {
	if !i.Valid {
		return nil
	}
	t := i.time()
	return &t
}

// item stores "no element" as -1, because a key cannot hold NULL.
func item(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

func itemOf(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

// encode returns the JSON text of v.
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode for the ledger: %w", err)
	}
	return string(b), nil
}

// encodeMap stores a nil map as NULL.
func encodeMap(m map[string]json.RawMessage) (any, error) {
	if m == nil {
		return nil, nil //nolint:nilnil // NULL is a value
	}
	return encode(m)
}

func decode(text string, v any) error {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("decode from the ledger: %w", err)
	}
	return nil
}

// decodeNull leaves v alone where NULL is stored.
func decodeNull(text sql.NullString, v any) error {
	if !text.Valid {
		return nil
	}
	return decode(text.String, v)
}

// querier is the writer's connection, or a reader's.
type querier interface {
	query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

type scanner interface{ Scan(dest ...any) error }

// errEnough is what scan returns when no more rows are wanted.
var errEnough = errors.New("no more rows are wanted")

// collect reads the rows of a query.
func collect[T any](ctx context.Context, q querier, scan func(scanner) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", fault(err))
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if errors.Is(err, errEnough) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read ledger: %w", fault(err))
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read ledger: %w", fault(err))
	}
	return all, nil
}

// record appends an event; the ledger numbers it. What an attempt or step put out is in their rows, and not here again.
func (w *writer) record(e flow.Event) error { return w.recordDetail(e, "") }

// recordDetail appends an event with a detail that encode has made: a run's may be long, and is not parsed again.
func (w *writer) recordDetail(e flow.Event, detail string) error {
	e.Seq, e.At, e.Outputs, e.List, e.State = 0, e.At.UTC(), nil, nil, nil
	body, err := encode(&e)
	if err != nil {
		return err
	}
	if detail != "" {
		body = body[:len(body)-1] + `,"detail":` + detail + "}" // the last field of an event
	}
	_, err = w.exec("INSERT INTO events (at, tenant, pipeline, run, body) VALUES (?, ?, ?, ?, ?)", nanos(e.At), e.Tenant, e.Pipeline, e.Run, body)
	return err
}

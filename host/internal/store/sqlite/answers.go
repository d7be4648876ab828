package sqlite

import "context"

// Answers returns nil once the writer has begun and ended a transaction that changes nothing: it is not stuck, no other
// process holds the ledger, and the disk has not failed to keep what was written.
func (s *Store) Answers(ctx context.Context) error {
	return s.do(ctx, func(*writer) error { return nil })
}

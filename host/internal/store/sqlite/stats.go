package sqlite

import (
	"os"
	"sync/atomic"
	"time"
)

// Stats are what a ledger has done in this life, and how large it is.
type Stats struct {
	// Bytes and LogBytes are the sizes of the file and of its write-ahead log.
	Bytes, LogBytes int64
	// Commits are transactions, Writes the calls that shared them, Took the time of all transactions.
	Commits, Writes uint64
	Took            time.Duration
}

// tally counts what the writer does.
type tally struct {
	commits, writes atomic.Uint64
	took            atomic.Int64
}

func (t *tally) add(writes int, took time.Duration) {
	t.commits.Add(1)
	t.writes.Add(uint64(writes))
	t.took.Add(int64(took))
}

// Stats returns what the ledger has done so far.
func (s *Store) Stats() Stats {
	stats := Stats{Commits: s.tally.commits.Load(), Writes: s.tally.writes.Load(), Took: time.Duration(s.tally.took.Load())}
	for path, to := range map[string]*int64{s.path: &stats.Bytes, s.path + "-wal": &stats.LogBytes} {
		if info, err := os.Stat(path); err == nil {
			*to = info.Size()
		}
	}
	return stats
}

package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// onDisk bounds the pages of the database by what stands beside it: with the reserve few, without it more, as on a disk
// of that size.
func onDisk(t *testing.T, s *Store, pages int) {
	t.Helper()
	_, err := write(t.Context(), s, func(w *writer) (int, error) {
		var got int
		return got, w.conn.QueryRowContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)).Scan(&got)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The reserve is spent on the endings of what is live; nothing begins before there is space for it again.
func TestAFullDiskRecordsEndings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, "boot")
	if err := s.Reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, reserveName)
	if info, err := os.Stat(file); err != nil || info.Size() != reserveSize {
		t.Fatalf("the reserve: %v, %v", info, err)
	}
	live, err := s.Offer(t.Context(), testOffer("live"))
	if err != nil {
		t.Fatal(err)
	}
	onDisk(t, s, 1) // the greatest size that it has already
	message := strings.Repeat("x", 100_000)
	for {
		if err = s.AppendLogs(t.Context(), said(message)); err != nil {
			break
		}
	}
	if flow.CodeOf(err) != flow.CodeLedgerFull {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Fatalf("the reserve is there: %v", err)
	}
	if _, err := s.Offer(t.Context(), testOffer("other")); flow.CodeOf(err) != flow.CodeLedgerFull || !strings.Contains(err.Error(), "nothing new begins") {
		t.Errorf("a new run: %v", err)
	}
	onDisk(t, s, 10_000) // what the reserve gave
	if err := s.Finish(t.Context(), live.Claim, flow.Ending{Outcome: flow.Succeeded}); err != nil {
		t.Errorf("the ending: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(50 * time.Millisecond) { // it looks once a second
		if _, err = s.Offer(t.Context(), testOffer("other")); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("with space again: %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the reserve was not taken again: %v", err)
	}
}

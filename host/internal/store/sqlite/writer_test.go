package sqlite

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// hold keeps the writer busy until the returned function is called, so that calls queue.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	begun, free := make(chan struct{}), make(chan struct{})
	var once sync.Once // the call may be executed again
	held := make(chan error, 1)
	go func() {
		held <- s.do(t.Context(), func(*writer) error {
			once.Do(func() { close(begun) })
			<-free
			return nil
		})
	}()
	<-begun
	return func() {
		close(free)
		if err := <-held; err != nil {
			t.Error(err)
		}
	}
}

// queueUp sends a call and returns once it waits for the writer; the answer comes later.
func queueUp(t *testing.T, s *Store, in lane, fn func(*writer) error) <-chan error {
	t.Helper()
	op := &operation{ctx: t.Context(), run: fn, answer: make(chan error, 1)}
	if err := s.submit(op, in); err != nil {
		t.Fatal(err)
	}
	return op.answer
}

// One that fails after it has changed something undoes its own changes, and nobody else's.
func TestACallThatFailsHalfDoneUndoesItsOwn(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "one")
	refused := errors.New("refused")
	put := func(name string, err error) func(*writer) error {
		return func(w *writer) error {
			if _, err := w.exec("INSERT INTO seals (name, digest) VALUES (?, '')", name); err != nil {
				return err
			}
			w.facts[flow.Digest(name)] = planFacts{}
			return err
		}
	}
	release := hold(t, s)
	answers := []<-chan error{queueUp(t, s, rest, put("a", nil)), queueUp(t, s, rest, put("b", refused)), queueUp(t, s, rest, put("c", nil))}
	release()
	for i, want := range []error{nil, refused, nil} {
		if err := <-answers[i]; !errors.Is(err, want) {
			t.Errorf("call %d: %v, want %v", i, err, want)
		}
	}
	names, err := collect(t.Context(), reader{s.readers}, func(row scanner) (name string, err error) { return name, row.Scan(&name) }, "SELECT name FROM seals ORDER BY name")
	if err != nil || !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("recorded %v, %v", names, err)
	}
	if err := s.do(t.Context(), func(w *writer) error {
		if _, known := w.facts["b"]; known {
			return errors.New("what was rolled back is still known")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// Attempts and runs begin before what else has queued, and everything is done.
func TestWhatBeginsGoesFirst(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "one")
	var order []string
	release := hold(t, s)
	var answers []<-chan error
	queue := func(in lane, n int) {
		for i := range n {
			answers = append(answers, queueUp(t, s, in, func(*writer) error {
				order = append(order, fmt.Sprint(in, " ", i))
				return nil
			}))
		}
	}
	queue(rest, 200)
	queue(runs, 2)
	queue(attempts, 2)
	release()
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Error(err)
		}
	}
	want := []string{fmt.Sprint(attempts, " 0"), fmt.Sprint(attempts, " 1"), fmt.Sprint(runs, " 0"), fmt.Sprint(runs, " 1"), fmt.Sprint(rest, " 0")}
	if len(order) != len(answers) || !slices.Equal(order[:5], want) {
		t.Errorf("%d calls, the first were %v, want %v", len(order), order[:5], want)
	}
}

package service

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	maxLine  = 4 << 10 // bytes of a line that are kept
	maxLines = 10_000  // lines of an attempt that are kept
)

// logger keeps lines up to a limit and counts the rest.
type logger struct {
	limit int64
	keep  func(flow.LogLine)

	mu      sync.Mutex
	bytes   int64
	lines   int
	dropped int64
	closed  bool
}

// add takes a line of the guest.
func (l *logger) add(level flow.LogLevel, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.lines >= maxLines || l.bytes >= l.limit {
		l.dropped++
		return
	}
	message = clean(message, maxLine)
	if l.bytes+int64(len(message)) > l.limit {
		l.bytes = l.limit // nothing after the first line that does not fit, so that no gap goes unseen
		l.dropped++
		return
	}
	l.lines++
	l.bytes += int64(len(message))
	l.keep(flow.LogLine{At: time.Now().UTC(), Level: level, Message: message})
}

// close says how much was dropped.
func (l *logger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	if l.dropped > 0 {
		l.keep(flow.LogLine{At: time.Now().UTC(), Level: flow.LogWarn, Dropped: l.dropped, Message: fmt.Sprintf(
			"%d more log lines were dropped: an attempt keeps %d lines and %s (limits.log)", l.dropped, maxLines, flow.Size(l.limit))})
	}
}

// clean returns text that can neither drive a terminal nor pass for more than one line: control characters and those that
// turn the direction of text are escaped, invalid UTF-8 is replaced, and what exceeds most bytes is cut.
func clean(text string, most int) string {
	if len(text) <= most && !strings.ContainsFunc(text, unsafeRune) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i, r := range text { // an invalid byte reads as U+FFFD
		start := b.Len()
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case unsafeRune(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unsafeRune(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		if b.Len() > most {
			return b.String()[:start] + fmt.Sprintf("… (%d bytes more)", len(text)-i)
		}
	}
	return b.String()
}

// unsafeRune reports control characters but the tab, line separators, and marks of direction.
func unsafeRune(r rune) bool {
	switch {
	case r == '\t':
		return false
	case r == 0x2028, r == 0x2029, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0xfeff:
		return true
	}
	return unicode.IsControl(r)
}

// beatEvery is the shortest time between two heartbeats that are told.
const beatEvery = time.Second

// heartbeat tells the first heartbeat at once, later ones at most once per beatEvery, and at the end the last one.
type heartbeat struct {
	tell func(permille int, message string)

	mu       sync.Mutex
	last     time.Time
	permille int
	message  string
	pending  bool
	closed   bool
}

func (b *heartbeat) beat(permille int, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.permille, b.message, b.pending = min(max(permille, 0), 1000), message, true
	if time.Since(b.last) >= beatEvery {
		b.flush()
	}
}

func (b *heartbeat) flush() {
	if !b.pending || b.tell == nil {
		return
	}
	b.pending, b.last = false, time.Now()
	b.tell(b.permille, b.message)
}

func (b *heartbeat) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
	b.closed = true
}

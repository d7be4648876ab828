package service

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
)

const (
	maxLine  = 4 << 10 // bytes of a line that are kept
	maxLines = 10_000  // lines of an attempt that are kept
)

// maxHeld bounds the lines that wait for what follows them.
const maxHeld = 1_000

// logger keeps lines up to a limit and counts the rest. A line whose end may be the beginning of a secret waits for the
// next one.
type logger struct {
	limit int64
	keep  func(flow.LogLine)
	veil  *secret.Veil

	mu      sync.Mutex
	held    []flow.LogLine
	before  string // the end of what was kept last, which a secret may begin in
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
	if l.full() {
		l.dropped++
		return
	}
	line := flow.LogLine{At: time.Now().UTC(), Level: level, Message: message}
	if l.veil.Empty() {
		l.take(line, message)
		return
	}
	l.held = append(l.held, line)
	if len(l.held) >= maxHeld || !l.veil.Begun(l.texts()) {
		l.release()
	}
}

func (l *logger) full() bool { return l.lines >= maxLines || l.bytes >= l.limit }

// texts are the messages that are held, after what was kept before.
func (l *logger) texts() []string {
	texts := []string{l.before}
	for _, line := range l.held {
		texts = append(texts, line.Message)
	}
	return texts
}

// endKept is how much of the last line is remembered: no more is needed, since a line that ends with more of a secret is
// held.
const endKept = 8

// release keeps the lines that are held.
func (l *logger) release() {
	texts := l.texts()
	all := strings.Join(texts, "\n")
	l.before = all[max(0, len(all)-endKept):]
	for i, message := range l.veil.Lines(texts)[1:] {
		l.take(l.held[i], message)
	}
	l.held = l.held[:0]
}

// take keeps one line, or counts it.
func (l *logger) take(line flow.LogLine, message string) {
	if l.full() {
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
	line.Message = message
	l.keep(line)
}

// close says how much was dropped.
func (l *logger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	l.release()
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

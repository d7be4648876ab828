package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Limits bound what one token, and one address without a token, may ask. Zero is the default.
type Limits struct {
	// Rate is how many requests one token may make in a second. Defaults to 50. Burst is how many at once. Defaults to 100.
	Rate  float64
	Burst int
	// AtOnce is how many requests of one token are open at one time, streams among them. Defaults to 100.
	AtOnce int
	// Failures is how many requests without a good token one address may make in a second. Defaults to 5. FailuresBurst is
	// how many at once. Defaults to 20.
	Failures      float64
	FailuresBurst int
}

func (l *Limits) fill() {
	if l.Rate <= 0 {
		l.Rate = 50
	}
	if l.Burst <= 0 {
		l.Burst = 100
	}
	if l.AtOnce <= 0 {
		l.AtOnce = 100
	}
	if l.Failures <= 0 {
		l.Failures = 5
	}
	if l.FailuresBurst <= 0 {
		l.FailuresBurst = 20
	}
}

// All tokens of one tenant may ask so many times what one of them may.
const (
	tenantRate   = 10
	tenantAtOnce = 2
)

// mostMeters bounds the names that are measured at one time.
const mostMeters = 4096

// meters measure requests by a name. They are safe for concurrent use.
type meters struct {
	rate   rate.Limit
	burst  int
	atOnce int

	mu sync.Mutex
	by map[string]*meter
}

type meter struct {
	*rate.Limiter
	open int
}

func newMeters(perSecond float64, burst, atOnce int) *meters {
	return &meters{rate: rate.Limit(perSecond), burst: burst, atOnce: atOnce, by: map[string]*meter{}}
}

// enter counts a request until done is called. One too many is an error, and wait is when to come again.
func (m *meters) enter(name string) (done func(), wait time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.of(name)
	if t.open >= m.atOnce {
		return nil, time.Second, &flow.Error{Code: flow.CodeRate, Message: "too many requests of the token, or of all tokens of the tenant, are open at one time", Hint: "end some of them"}
	}
	if r := t.Reserve(); r.Delay() > 0 {
		wait = r.Delay()
		r.Cancel()
		return nil, wait, &flow.Error{Code: flow.CodeRate, Message: "too many requests come with the token, or with all tokens of the tenant", Hint: "ask less often: Retry-After says when the next one is served"}
	}
	t.open++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		t.open--
	}, 0, nil
}

// spent reports whether a name has nothing left. It counts nothing.
func (m *meters) spent(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.by[name]
	return ok && t.Tokens() < 1
}

// of returns the meter of a name. Of too many, those go that have nothing to remember.
func (m *meters) of(name string) *meter {
	if t, ok := m.by[name]; ok {
		return t
	}
	if len(m.by) >= mostMeters {
		for other, t := range m.by {
			if t.open == 0 && t.Tokens() >= float64(m.burst) {
				delete(m.by, other)
			}
		}
	}
	for other, t := range m.by { // all of them are busy: one forgets
		if len(m.by) < mostMeters {
			break
		}
		if t.open == 0 {
			delete(m.by, other)
		}
	}
	t := &meter{Limiter: rate.NewLimiter(m.rate, m.burst)}
	m.by[name] = t
	return t
}

// maxConnections of one listener are open at one time; more wait until one ends.
const maxConnections = 1024

// Bounded returns a listener that has at most n connections open.
func Bounded(l net.Listener, n int) net.Listener {
	return &bounded{Listener: l, free: make(chan struct{}, n), closed: make(chan struct{})}
}

type bounded struct {
	net.Listener
	free   chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a place and then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.free <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.free
		return nil, err
	}
	return &boundedConn{Conn: c, leave: func() { <-b.free }}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (c *boundedConn) Close() error {
	defer c.once.Do(c.leave)
	return c.Conn.Close()
}

const (
	pieceSize = 256 << 10   // of an artifact
	pieceTime = time.Minute // for a client to take a piece
)

// send writes content to a client for as long as it takes it.
func send(ctx context.Context, w io.Writer, content io.Reader) error {
	var c *http.ResponseController
	if rw, ok := w.(http.ResponseWriter); ok {
		c = http.NewResponseController(rw)
	}
	for {
		if c != nil {
			_ = c.SetWriteDeadline(time.Now().Add(pieceTime))
		}
		if ctx.Err() != nil { // asked after the deadline: see tie
			return context.Cause(ctx)
		}
		if n, err := io.CopyN(w, content, pieceSize); err != nil || n == 0 {
			if err == io.EOF { //nolint:errorlint // as CopyN promises it
				err = nil
			}
			return err
		}
	}
}

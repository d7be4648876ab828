package api

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Certificates serve a certificate from files, and a new one once it stands there. A pair that cannot be used leaves the
// last good one in place, and is told once.
type Certificates struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	times   [2]time.Time // of the files, when they were read
	current *tls.Certificate
}

// lookEvery is the least time between two looks at the files.
const lookEvery = time.Second

// OpenCertificates reads the files. An error is CodeTLS.
func OpenCertificates(cert, key string, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{cert: cert, key: key, log: log, looked: time.Now()}
	pair, times, err := c.read()
	if err != nil {
		return nil, &flow.Error{Code: flow.CodeTLS, Op: "serve by TLS", Message: "the certificate cannot be used", Hint: "check `cert` and `key` of `tls` under [host]", Err: err}
	}
	c.current, c.times = pair, times
	return c, nil
}

// Config is that of a server.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil }}
}

// get returns the newest good certificate.
func (c *Certificates) get() *tls.Certificate {
	c.mu.Lock()
	now := time.Now()
	due := now.Sub(c.looked) >= lookEvery
	if due {
		c.looked = now
	}
	c.mu.Unlock()
	if due {
		c.Look()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// Look reads the files anew where they have changed.
func (c *Certificates) Look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stat() == c.times {
		return
	}
	pair, times, err := c.read()
	c.times = times // also of a bad pair, which is told once
	if err != nil {
		c.log.Error("certificate not taken, the last one stays", slog.String("cert", c.cert), slog.Any("err", err))
		return
	}
	c.current = pair
	c.log.Info("certificate taken", slog.String("cert", c.cert))
}

func (c *Certificates) read() (*tls.Certificate, [2]time.Time, error) {
	times := c.stat() // first: what changes while it is read is read again
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	return &pair, times, err
}

func (c *Certificates) stat() (times [2]time.Time) {
	for i, name := range []string{c.cert, c.key} {
		if info, err := os.Stat(name); err == nil {
			times[i] = info.ModTime()
		}
	}
	return times
}

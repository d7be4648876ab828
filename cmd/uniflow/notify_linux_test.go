package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is the socket of a service manager.
type manager struct {
	t      *testing.T
	socket *net.UnixConn
	path   string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") //nolint:usetesting // a socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &manager{t: t, path: filepath.Join(dir, "s")}
	if m.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.socket.Close() })
	return m
}

// hears returns the next message, or "" if none comes in time.
func (m *manager) hears(within time.Duration) string {
	m.t.Helper()
	if err := m.socket.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, _ := m.socket.Read(b)
	return string(b[:n])
}

// wants waits for a message that begins with a text; others before it are let pass if they are signs of life.
func (m *manager) wants(text string) {
	m.t.Helper()
	for {
		got := m.hears(startTime)
		if strings.HasPrefix(got, text) {
			return
		}
		if got != "WATCHDOG=1" {
			m.t.Fatalf("the host tells the manager %q, want %s", got, text)
		}
	}
}

// Promise: a service manager hears when the host serves, that it lives for as long as its ledger takes what is written
// and no longer, and when it stops. A host whose process runs but whose ledger is held does not pass for alive.
func TestWatchdogIsToldOfALivingHostAlone(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "uniflow.toml"), []byte("version = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const life = 2 * time.Second
	c := exec.CommandContext(t.Context(), "uniflow", "serve", "--listen", "none")
	c.Dir, c.Stderr = dir, io.Discard
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, fmt.Sprintf("WATCHDOG_USEC=%d", life.Microseconds()))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	m.wants("READY=1")
	for range 3 {
		if got := m.hears(life); got != "WATCHDOG=1" {
			t.Fatalf("a living host tells the manager %q", got)
		}
	}
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.wants("RELOADING=1\nMONOTONIC_USEC=")
	m.wants("READY=1")
	release := holdLedger(t, filepath.Join(dir, "data", "uniflow.db-shm"))
	silent := false
	for range 4 { // what was on its way before may come first
		silent = silent || m.hears(life) == ""
	}
	release()
	if !silent {
		t.Error("a host that cannot write passes for alive")
	}
	m.wants("WATCHDOG=1")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.wants("STOPPING=1")
	if err := c.Wait(); err != nil {
		t.Errorf("the host ends with %v", err)
	}
}

// holdLedger holds the lock of SQLite's writer, as a process does that hangs in the middle of a transaction.
func holdLedger(t *testing.T, shm string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(shm, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	const writeLock = 120 // of the index of the log; its format is documented
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLKW, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: writeLock, Len: 1}); err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

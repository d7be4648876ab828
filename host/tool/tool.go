// Package tool holds what the verbs of the command line need and what is no embedding API: finding the host of a
// project, checking, planning and building a manifest, looking at plugins and trying them, and beginning a project.
//
// It carries no promise of stability: programs use package host. It prints nothing and parses no flags.
package tool

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/api"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/schema"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// ManifestName is the manifest of a folder.
const ManifestName = "uniflow.toml"

// Target says which project, and which host, a verb means.
type Target struct {
	// Manifest is the path of a manifest. Defaults to uniflow.toml in the working directory.
	Manifest string
	// Tenant says that the manifest is one of a tenant, whose operator's is not here; Check and Build know of it.
	Tenant bool
	// Server is the URL of a host. Defaults to the host that serves the manifest's data folder, if one does.
	Server string
	// Token is for Server.
	Token string
	// CA is a PEM file of the authorities that may have signed the certificate of Server. Defaults to those of the system.
	CA string
}

func (t Target) manifest() string { return cmp.Or(t.Manifest, ManifestName) }

// Access says what a verb does to a host.
type Access int

const (
	// Read looks at the manifest and at what is recorded; without a host that serves, it changes nothing.
	Read Access = iota
	// History looks at what is recorded alone, whatever state the manifest is in; it changes nothing.
	History
	// Write changes schedules and runs; without a host that serves, the data folder is held for a moment.
	Write
	// Run executes a run; without a host that serves, it is executed in this process, with plugins built and pinned.
	Run
	// Serving needs a host that serves.
	Serving
)

// Link is a host that a verb talks to. The caller closes it.
type Link struct {
	flow.Control
	// Remote is true when the host is another process.
	Remote bool
	// Data is the host's data folder; empty when the host may be on another machine.
	Data string

	close func() error
}

// Close ends the link; a host in this process ends with it, and cancels what is live.
func (l *Link) Close() error { return l.close() }

// Connect finds the host of a project: the given server, or whoever serves the data folder, or a host of its own on
// the data folder for as long as the link lives. Nobody there where Serving is asked for is CodeUnreachable.
func Connect(ctx context.Context, t Target, a Access) (*Link, error) {
	nothing := func() error { return nil }
	if t.Server != "" {
		client := api.NewClient(t.Server, t.Token)
		if t.CA != "" {
			var err error
			if client, err = client.WithCA(t.CA); err != nil {
				return nil, err
			}
		}
		return &Link{Control: client, Remote: true, close: nothing}, nil
	}
	data, bad := DataOf(t)
	socket := host.SocketPath(data)
	if answers(ctx, socket) {
		return &Link{Control: api.NewSocketClient(socket), Remote: true, Data: data, close: nothing}, nil
	}
	if _, err := os.Stat(data); bad != nil && (a != History || err != nil) {
		return nil, bad
	}
	if a == Serving {
		return nil, &flow.Error{Code: flow.CodeUnreachable, Message: "no host serves the data folder " + data, Hint: "start one with `uniflow serve`, or name another with --server URL"}
	}
	return own(ctx, t, a, data)
}

// own opens a host in this process.
func own(ctx context.Context, t Target, a Access, data string) (*Link, error) {
	if err := project.CheckData(data); err != nil {
		return nil, err
	}
	config := host.Config{Manifest: t.manifest(), Build: a == Run, ReadOnly: a == Read || a == History}
	if a == History {
		config.Manifest, config.Data = "", data
	}
	if config.ReadOnly && !recorded(data) {
		return ownEmpty(ctx, config, data)
	}
	h, err := host.Open(ctx, config)
	switch code := flow.CodeOf(err); {
	case err == nil:
		return &Link{Control: h.As(host.LocalPrincipal(), "program"), Data: data, close: h.Close}, nil
	case config.ReadOnly && code == flow.CodeLedgerMissing: // its first host is making it
		return ownEmpty(ctx, config, data)
	case code == flow.CodeLedgerLocked && awaitHost(ctx, data):
		return &Link{Control: api.NewSocketClient(host.SocketPath(data)), Remote: true, Data: data, close: func() error { return nil }}, nil
	}
	return nil, err
}

// ownEmpty opens a host that reads an empty ledger, somewhere else: looking must leave no trace.
func ownEmpty(ctx context.Context, config host.Config, data string) (*Link, error) {
	scratch, err := emptyLedger(ctx)
	if err != nil {
		return nil, err
	}
	config.Data = scratch
	remove := func() error { return os.RemoveAll(scratch) }
	h, err := host.Open(ctx, config)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return &Link{Control: h.As(host.LocalPrincipal(), "program"), Data: data, close: func() error { return errors.Join(h.Close(), remove()) }}, nil
}

// startTime is how long a host that holds the data folder may take until it serves.
const startTime = 2 * time.Second

// awaitHost waits for the host that holds a data folder to serve, and reports whether it does: it may be starting.
func awaitHost(ctx context.Context, data string) bool {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if answers(ctx, host.SocketPath(data)) {
			return true
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// recorded reports whether a data folder has a ledger, or had one that was lost.
func recorded(data string) bool {
	path := filepath.Join(data, ledgerName)
	_, err := os.Stat(path)
	return err == nil || sqlite.Made(path)
}

// emptyLedger makes a data folder in which nothing is recorded. The caller removes it.
func emptyLedger(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "uniflow-*")
	if err != nil {
		return "", err
	}
	h, err := host.Open(ctx, host.Config{Data: dir})
	if err == nil {
		err = h.Close()
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// DataOf returns the data folder of a project, absolute. A manifest that cannot be read is assumed to say nothing, so
// that its host can be found while it is being edited; the error says what is wrong with it.
func DataOf(t Target) (string, error) {
	abs, err := filepath.Abs(t.manifest())
	if err != nil {
		return "", err
	}
	doc, err := manifest.Load(t.manifest())
	if err != nil {
		return project.DataDir(filepath.Dir(abs), &flow.Manifest{}), err
	}
	return project.DataDir(filepath.Dir(abs), &doc.Manifest), nil
}

// answerTime bounds the wait for a socket to accept.
const answerTime = 2 * time.Second

// answers reports whether somebody listens on a socket.
func answers(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// Schemas lists the JSON Schemas by name.
func Schemas() []string { return schema.Names() }

// Schema returns a JSON Schema by name; "manifest" is that of uniflow.toml.
func Schema(name string) ([]byte, error) { return schema.Of(name) }

// ParseSet reads NAME=VALUE as --set takes it; the value is read by the type of the param of that name, if there is one.
func ParseSet(text string, params map[string]flow.Param) (name string, value json.RawMessage, err error) {
	return plan.ParseSet(text, params)
}

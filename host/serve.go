package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/api"
)

const (
	socketName    = "uniflow.sock"   // in the data folder
	socketRecord  = "uniflow.socket" // in the data folder: where the socket is, if its path would be too long there
	maxSocketPath = 100              // bytes; systems take 104 to 108, the final NUL included
)

// serveAPI listens on the socket and on TCP, as the Config says.
func (h *Host) serveAPI(ctx context.Context) error {
	if h.config.API == nil {
		return nil
	}
	settings := api.Config{
		Control: h.As, Version: Version, Token: h.config.API.Token, Find: h.findToken, Local: LocalPrincipal(), Logger: h.log,
		Metrics: h.Metrics, Served: h.metrics.Request,
	}
	// The socket comes last: who finds the host by it finds the address of the other, too.
	if address := h.address(); address != "none" {
		if err := h.listenTCP(ctx, address, settings); err != nil {
			return err
		}
	}
	socket, err := h.listenSocket(ctx)
	if err != nil {
		return err
	}
	h.serveOn(api.NewLocalServer(settings), socket)
	return nil
}

// address is where to listen on TCP, or none.
func (h *Host) address() string {
	switch {
	case h.config.API.Listen != "":
		return h.config.API.Listen
	case h.current() != nil:
		return h.current().Listen()
	}
	return "127.0.0.1:7420"
}

func (h *Host) listenTCP(ctx context.Context, address string, settings api.Config) error {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return &flow.Error{Code: flow.CodeListen, Op: "listen on " + address, Message: "it is no address, expected HOST:PORT", Hint: "--listen 127.0.0.1:7420, or none for the socket only", Err: err}
	}
	loopback := api.Loopback(address)
	if !loopback {
		if settings.Token == "" && !h.tokens.Usable() {
			return &flow.Error{Code: flow.CodeNeedsToken, Op: "listen on " + address, Message: "an address beyond this machine needs a token", Hint: "set UNIFLOW_TOKEN, make a token with `uniflow token create`, or listen on 127.0.0.1"}
		}
		settings.Hosts = hostNames(name)
	}
	settings.Open = func() bool { return loopback && !h.tokens.Any() && !h.declaresTenants() }
	certificates, err := h.certificates()
	if err != nil {
		return err
	}
	if certificates == nil && !loopback {
		h.log.Warn("tokens cross the network in plain text unless a proxy serves TLS", slog.String("address", address))
	}
	settings.Hosts = append(settings.Hosts, h.hostSettings().Names...)
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return &flow.Error{Code: flow.CodeListen, Op: "listen on " + address, Message: "the address cannot be used", Hint: "choose another with `--listen`, or 127.0.0.1:0 for any free port", Err: err}
	}
	h.mu.Lock()
	h.listen, h.tls = l.Addr().String(), certificates != nil
	h.mu.Unlock()
	server := api.NewServer(settings)
	if certificates != nil {
		server.TLSConfig = certificates.Config()
	}
	h.serveOn(server, l)
	return nil
}

// hostSettings are those of the manifest.
func (h *Host) hostSettings() flow.HostSettings {
	if h.current() == nil {
		return flow.HostSettings{}
	}
	return h.current().Manifest().Host
}

// declaresTenants reports whether others than the owner of the socket have something on this host.
func (h *Host) declaresTenants() bool {
	return h.current() != nil && len(h.current().Manifest().Tenants) > 0
}

// certificates are those of the manifest; nil where there are none.
func (h *Host) certificates() (*api.Certificates, error) {
	t := h.hostSettings().TLS
	if t == (flow.TLS{}) {
		return nil, nil //nolint:nilnil // plain HTTP
	}
	at := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(h.current().Dir, path)
	}
	return api.OpenCertificates(at(t.Cert), at(t.Key), h.log)
}

// findToken tells the API who comes with a secret.
func (h *Host) findToken(secret string) (flow.Principal, context.Context, bool) {
	session, ok := h.tokens.Find(secret)
	return session.Principal, session.Life, ok
}

// hostNames are the names by which this machine may be addressed when it listens for the network.
func hostNames(name string) []string {
	names := []string{name}
	if own, err := os.Hostname(); err == nil {
		names = append(names, own)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return names
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok {
			names = append(names, ip.IP.String())
		}
	}
	return names
}

// listenSocket listens in the data folder. The ledger's lock is ours, so a socket that is there is a dead host's.
func (h *Host) listenSocket(ctx context.Context) (net.Listener, error) {
	path, record := filepath.Join(h.data, socketName), filepath.Join(h.data, socketRecord)
	dropSocket(record)
	if len(path) > maxSocketPath {
		dir, err := os.MkdirTemp("", "uniflow-*")
		if err != nil {
			return nil, noSocket(path, "no folder can be made for it", err)
		}
		path = filepath.Join(dir, socketName)
		if err := os.WriteFile(record, []byte(path), 0o600); err != nil {
			return nil, noSocket(path, "its place cannot be recorded in the data folder", err)
		}
		h.services.Go(func() {
			<-h.background.Done()
			dropSocket(record)
		})
	}
	if err := dropDead(path); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, noSocket(path, "the socket cannot be made", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("guard the socket: %w", err), l.Close())
	}
	h.mu.Lock()
	h.socket = path
	h.mu.Unlock()
	return l, nil
}

func noSocket(path, message string, err error) error {
	return &flow.Error{Code: flow.CodeListen, Op: "listen on " + path, Message: message, Hint: "check the data folder, or choose another with `data` under [host]", Err: err}
}

// dropDead removes the socket of a dead host; what is none is left alone.
func dropDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return &flow.Error{Code: flow.CodeListen, Op: "listen on " + path, Message: "something that is no socket stands there", Hint: "move it away, or choose another data folder with `data` under [host]"}
	case err == nil:
		err = os.Remove(path)
	}
	if err != nil {
		return noSocket(path, "the socket of a dead host cannot be removed", err)
	}
	return nil
}

// dropSocket removes a socket that stands outside of the data folder, with its folder and its record, if there is one.
func dropSocket(record string) {
	path, err := os.ReadFile(record)
	if err != nil {
		return
	}
	if filepath.Base(string(path)) == socketName {
		_ = os.Remove(string(path))
		_ = os.Remove(filepath.Dir(string(path))) // refused while anything else is in it
	}
	_ = os.Remove(record)
}

// SocketPath returns where the host of a data folder listens, whether one runs or not.
func SocketPath(data string) string {
	if path, err := os.ReadFile(filepath.Join(data, socketRecord)); err == nil && len(path) < 1024 {
		return string(path)
	}
	return filepath.Join(data, socketName)
}

// closeTime bounds how long requests may go on after the host has stopped.
const closeTime = 2 * time.Second

// serveOn serves a listener until the host stops.
func (h *Host) serveOn(server *http.Server, l net.Listener) {
	stop := h.background
	h.services.Go(func() {
		if err := api.Serve(server, l); err != nil {
			h.log.Error("API ended", slog.String("address", l.Addr().String()), slog.Any("err", err))
		}
	})
	h.services.Go(func() {
		<-stop.Done()
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close() // streams of events do not end by themselves
		}
	})
}

package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/internal/egress"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Network is how requests of guests leave the host. The zero Network is that of the system.
type Network struct {
	// Resolve returns the addresses of a name. Defaults to the system's resolver, without its search list.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// Dial connects to an address that was checked. Defaults to a plain TCP connection.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Roots verify servers. Defaults to those of the system.
	Roots *x509.CertPool
	// RoundTrip, where it is set, answers requests in place of a network, for tests of plugins. Grants, secrets and redirects
	// are the same; a *flow.ServiceError refuses.
	RoundTrip func(*http.Request) (*http.Response, error)
}

const (
	maxAddresses  = 8 // addresses of a name that are tried
	dialTime      = 10 * time.Second
	handshakeTime = 10 * time.Second
	idleTime      = 10 * time.Second
	maxHeader     = 64 << 10 // bytes of a response's header
	maxConns      = 8        // connections to one origin at one time
)

// transport returns what carries the requests of one attempt. It knows no proxy, no cookies, no HTTP/2 and no compression,
// follows nothing, and dials by our own rules.
func (n Network) transport() *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext: n.dial, Protocols: &protocols, DisableCompression: true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: n.Roots},
		TLSHandshakeTimeout: handshakeTime, IdleConnTimeout: idleTime, MaxConnsPerHost: maxConns, MaxResponseHeaderBytes: maxHeader,
	}
}

// dial connects to a host and port of a request that a grant covers: an address that the grant names, this machine if it
// names localhost, else an address of the name on the public internet. What is dialled is the very address that was
// checked, so that a name that changes its mind gains nothing.
func (n Network) dial(ctx context.Context, _, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addrs, err := n.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	dial := n.Dial
	if dial == nil {
		dial = dialTCP
	}
	var failures []error
	for _, addr := range addrs {
		conn, err := dial(ctx, netip.AddrPortFrom(addr, uint16(number)))
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// addresses returns the addresses of a host that may be dialled.
func (n Network) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil // only a grant that names it leads here
	}
	if host == egress.Localhost {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	resolve := n.Resolve
	if resolve == nil {
		resolve = lookup
	}
	found, err := resolve(ctx, host)
	if err != nil || len(found) == 0 {
		return nil, refuse(abi.Unavailable, fmt.Sprintf("the name %s cannot be resolved", host), "check the name, and the resolver of the machine that the host runs on")
	}
	var open []netip.Addr
	closed := ""
	for _, addr := range found {
		if why := egress.Closed(addr); why != "" {
			closed = fmt.Sprintf("the name %s leads to %s, which is %s", host, addr.Unmap(), why)
			continue
		}
		open = append(open, addr.Unmap())
	}
	if len(open) == 0 {
		return nil, refuse(abi.Denied, closed+": guests reach the public internet alone", "where this machine or a private network is meant, name the address itself in the grant")
	}
	return open[:min(len(open), maxAddresses)], nil
}

// lookup asks the system for a whole name: the dot keeps its search list out.
func lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(name, ".")+".")
}

// dialTCP makes sure that the connection leads where it should.
func dialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if peer, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || peer.AddrPort().Addr().Unmap() != to.Addr().Unmap() {
		return nil, errors.Join(errors.New("dial: the connection leads elsewhere"), conn.Close())
	}
	return conn, nil
}

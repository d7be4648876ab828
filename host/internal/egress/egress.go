// Package egress says what a plugin may reach over HTTP: it reads the patterns of grants, brings URLs into one form before
// they are compared, and knows which addresses are not for guests.
//
// It is pure text and numbers, for the plan, which checks patterns, and for the service, which holds requests against
// them alike. It must not resolve, dial or send. What could be read in two ways is refused, not guessed.
package egress

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxURL bounds a URL, in bytes.
const maxURL = 8 << 10

// Localhost is the one name without a dot that may be called: this machine, which no resolver is asked for.
const Localhost = "localhost"

// Origin is what a connection is made to. Two origins are the same if they are equal.
type Origin struct {
	// Scheme is http or https.
	Scheme string
	// Host is a name in lower case, without a dot at its end, or the canonical text of an IP address, an IPv6 one in
	// brackets.
	Host string
	Port int
}

// String writes the origin as in a URL; a default port is left out.
func (o Origin) String() string { return o.Scheme + "://" + o.Authority() }

// Authority is the host, with the port where it is not the scheme's own.
func (o Origin) Authority() string {
	if o.Port == defaultPort(o.Scheme) {
		return o.Host
	}
	return o.Host + ":" + strconv.Itoa(o.Port)
}

// Addr is the IP address that the host is written as; false for a name.
func (o Origin) Addr() (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(o.Host, "[]"))
	return addr, err == nil
}

// Local reports whether the origin is on this machine by the way it is written.
func (o Origin) Local() bool {
	addr, ok := o.Addr()
	return o.Host == Localhost || ok && addr.IsLoopback()
}

// URL is a URL in canonical form.
type URL struct {
	Origin
	// Path is escaped: what needs no escape has none, escapes are in upper case, and neither "." nor ".." is a segment.
	Path string
	// Query is as it was written, without the question mark.
	Query string
}

// String writes the URL.
func (u URL) String() string {
	if u.Query == "" {
		return u.Place()
	}
	return u.Place() + "?" + u.Query
}

// Place is the URL without its query, which may hold what is nobody's business.
func (u URL) Place() string { return u.Origin.String() + u.Path }

func defaultPort(scheme string) int {
	if scheme == "http" {
		return 80
	}
	return 443
}

// Mistake is what is wrong with a URL or a pattern.
type Mistake struct {
	Message string
	Help    string
}

// Error returns the message.
func (m *Mistake) Error() string { return m.Message }

func mistake(help, format string, args ...any) *Mistake {
	return &Mistake{fmt.Sprintf(format, args...), help}
}

// ParseURL reads a URL and brings it into canonical form. The error is a *Mistake.
func ParseURL(text string) (URL, error) {
	u, m := parse(text)
	if m != nil {
		return URL{}, m
	}
	return u, nil
}

func parse(text string) (URL, *Mistake) {
	if m := plain(text); m != nil {
		return URL{}, m
	}
	scheme, rest, ok := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	if !ok || (scheme != "https" && scheme != "http") {
		return URL{}, mistake("write https://HOST/PATH", "the URL does not begin with https:// or http://")
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	origin, m := parseOrigin(scheme, rest[:end])
	if m != nil {
		return URL{}, m
	}
	tail, query, _ := strings.Cut(rest[end:], "?")
	if strings.Contains(rest[end:], "#") {
		return URL{}, mistake("leave out # and what follows it", "a fragment is never sent")
	}
	path, m := parsePath(tail)
	if m != nil {
		return URL{}, m
	}
	if i := strings.IndexAny(query, "<>\"`"); i >= 0 {
		return URL{}, mistake("escape it with %XX", "the query holds %q", query[i])
	}
	return URL{origin, path, query}, nil
}

// plain refuses characters that programs read in different ways.
func plain(text string) *Mistake {
	if len(text) > maxURL {
		return mistake("", "the URL has %d bytes, at most %d", len(text), maxURL)
	}
	for _, r := range text {
		switch {
		case r <= ' ' || r == 0x7f:
			return mistake("escape it with %XX", "the URL holds a blank or a control character")
		case r > 0x7f:
			return mistake("write names of hosts in their ASCII form (xn--…), and escape all else with %XX", "the URL holds a character outside of ASCII")
		case r == '\\':
			return mistake("write / between segments, or escape it with %5C in a query", "the URL holds a backslash")
		}
	}
	return nil
}

// parseOrigin reads what stands between the slashes and the path.
func parseOrigin(scheme, text string) (Origin, *Mistake) {
	if strings.Contains(text, "@") {
		return Origin{}, mistake("send credentials in a header, or bind a secret", "the URL holds a user before @")
	}
	host, port := text, ""
	colon := strings.LastIndexByte(text, ':')
	if colon > strings.LastIndexByte(text, ']') {
		host, port = text[:colon], text[colon+1:]
		if port == "" {
			return Origin{}, mistake("remove the colon, or write a port", "the port is empty")
		}
	}
	o := Origin{Scheme: scheme, Port: defaultPort(scheme)}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return Origin{}, mistake("write a port between 1 and 65535", "%q is no port", clip(port))
		}
		o.Port = int(n)
	}
	var m *Mistake
	o.Host, m = parseHost(strings.ToLower(host))
	return o, m
}

// clip bounds what of a text is repeated in a message.
func clip(text string) string {
	if len(text) > 80 {
		return text[:80] + "…"
	}
	return text
}

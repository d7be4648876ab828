package egress

import (
	"slices"
	"strings"
)

// AnyMethod is the method of a pattern that grants all methods.
const AnyMethod = "*"

// Methods are the methods that a guest may use.
func Methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// Pattern is one line of grant.http.
type Pattern struct { //nolint:recvcheck // reading it in parts changes it
	Method string
	// Origin's host begins with "*." where it stands for all names below it.
	Origin Origin
	// Path is escaped, and a prefix if Prefix is true.
	Path   string
	Prefix bool
}

// String writes the pattern in its canonical form.
func (p Pattern) String() string {
	path := p.Path
	if p.Prefix {
		path += "*"
	}
	return p.Method + " " + p.Origin.String() + path
}

// Allows reports whether the pattern covers a request. GET covers HEAD, which tells less.
func (p Pattern) Allows(method string, u URL) bool {
	if p.Method != method && p.Method != AnyMethod && (p.Method != Methods()[0] || method != "HEAD") {
		return false
	}
	return p.Covers(u.Origin) && (u.Path == p.Path || p.Prefix && strings.HasPrefix(u.Path, p.Path))
}

// Covers reports whether the pattern leads to an origin.
func (p Pattern) Covers(o Origin) bool {
	if p.Origin.Scheme != o.Scheme || p.Origin.Port != o.Port {
		return false
	}
	if parent, ok := strings.CutPrefix(p.Origin.Host, "*"); ok {
		_, isAddr := o.Addr()
		return !isAddr && strings.HasSuffix(o.Host, parent)
	}
	return p.Origin.Host == o.Host
}

// Includes reports whether the pattern allows all that another one allows.
func (p Pattern) Includes(q Pattern) bool {
	get, head := Methods()[0], Methods()[1]
	if p.Method != q.Method && p.Method != AnyMethod && (p.Method != get || q.Method != head) { // who may GET may HEAD
		return false
	}
	if !p.Prefix && (q.Prefix || q.Path != p.Path) || !strings.HasPrefix(q.Path, p.Path) {
		return false
	}
	if below, ok := strings.CutPrefix(q.Origin.Host, "*"); ok { // all names that end so
		parent, wild := strings.CutPrefix(p.Origin.Host, "*")
		return wild && strings.HasSuffix(below, parent) && p.Origin.Scheme == q.Origin.Scheme && p.Origin.Port == q.Origin.Port
	}
	return p.Covers(q.Origin)
}

// Line is a line of grant.http that would allow a request, and little more.
func Line(method string, u URL) string {
	path, _, cut := strings.Cut(u.Path, "*")
	if cut { // a star cannot be written
		path += "*"
	}
	return method + " " + u.Origin.String() + path
}

// ParsePattern reads "METHOD https://host[:port]/path*"; no method is GET. The error is a *Mistake.
func ParsePattern(text string) (Pattern, error) {
	p, m := parsePattern(text)
	if m != nil {
		return Pattern{}, m
	}
	return p, nil
}

const patternHelp = `write METHOD https://HOST/PATH*, such as "GET https://api.example.com/v1/*"`

func parsePattern(text string) (Pattern, *Mistake) {
	p := Pattern{Method: "GET"}
	place := text
	if method, rest, ok := strings.Cut(text, " "); ok {
		p.Method, place = method, strings.TrimLeft(rest, " ")
	}
	if p.Method != AnyMethod && !slices.Contains(Methods(), p.Method) {
		return p, mistake("use "+strings.Join(Methods(), ", ")+", or * for all of them", "%q is no method that can be granted", clip(p.Method))
	}
	if strings.ContainsAny(place, "?#") {
		return p, mistake("leave it out: a pattern covers every query", "a pattern has neither query nor fragment")
	}
	place, p.Prefix = strings.CutSuffix(place, "*")
	wild := false
	if scheme, rest, ok := strings.Cut(place, "://*."); ok && !strings.Contains(scheme, "/") {
		wild, place = true, scheme+"://"+rest
	}
	if strings.Contains(place, "*") {
		return p, mistake(patternHelp, "a * stands alone for the method, as *. before the host, or at the end of the path")
	}
	u, m := parse(place)
	if m != nil {
		if m.Help == "" {
			m.Help = patternHelp
		}
		return p, m
	}
	if strings.Count(place, "/") < 3 {
		return p, mistake("write "+u.Origin.String()+"/* for all of it", "the pattern has no path")
	}
	p.Origin, p.Path = u.Origin, u.Path
	return p, p.check(wild)
}

// check refuses hosts that no grant can name, and takes over the wildcard.
func (p *Pattern) check(wild bool) *Mistake {
	addr, isAddr := p.Origin.Addr()
	if isAddr && (addr.IsUnspecified() || addr.IsMulticast() || addr.String() == "255.255.255.255") {
		return mistake("name the address of one machine", "%s is not the address of a machine", addr)
	}
	if !wild {
		return nil
	}
	if isAddr || !strings.Contains(p.Origin.Host, ".") {
		return mistake("name at least two labels: *.example.com", "*. needs a domain after it")
	}
	p.Origin.Host = "*." + p.Origin.Host
	return nil
}

// ParseOrigin reads "https://host[:port]", as the place of a secret is written. The error is a *Mistake.
func ParseOrigin(text string) (Origin, error) {
	u, m := parse(text)
	switch {
	case m != nil:
		return Origin{}, m
	case u.Path != "/" || u.Query != "" || strings.HasSuffix(text, "?"):
		return Origin{}, mistake("write "+u.Origin.String(), "a secret is bound to an origin, without a path")
	}
	return u.Origin, nil
}

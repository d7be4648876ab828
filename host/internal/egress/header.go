package egress

import (
	"slices"
	"strings"
)

const (
	maxHeaderName  = 128
	maxHeaderValue = 8 << 10
)

// ownHeaders are the headers that say how a request is framed and carried, which is the host's part, and those that would
// make another request of it than the one that was granted.
func ownHeaders() []string {
	return []string{
		"accept-encoding", "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer",
		"transfer-encoding", "upgrade", "x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url",
	}
}

// CheckHeader says what is wrong with a header that is to be sent. The error is a *Mistake and does not hold the value.
func CheckHeader(name, value string) error {
	if m := checkHeaderName(name); m != nil {
		return m
	}
	if len(value) > maxHeaderValue {
		return mistake("", "the header %s has %d bytes, at most %d", name, len(value), maxHeaderValue)
	}
	if i := strings.IndexFunc(value, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }); i >= 0 {
		return mistake("a value is one line of ASCII", "the header %s holds a line break, another control character, or one outside of ASCII", name)
	}
	return nil
}

func checkHeaderName(name string) *Mistake {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
	if name == "" || len(name) > maxHeaderName || strings.Trim(name, letters) != "" {
		return mistake("", "%q is no name of a header", clip(name))
	}
	usual := HeaderKey(name)
	if slices.Contains(ownHeaders(), usual) || strings.HasPrefix(usual, "proxy-") {
		return mistake("leave it out", "the header %s is the host's", name)
	}
	return nil
}

// HeaderKey is the same for headers that some server takes for the same: gateways hand Content-Length and Content_Length on
// under one name.
func HeaderKey(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// ParseHeader reads the place of a secret, "Authorization: Bearer {}", and returns the header's name, in lower case, and
// what stands before and after the secret. The error is a *Mistake.
func ParseHeader(text string) (name, before, after string, err error) {
	const help = `write header = "Authorization: Bearer {}"`
	name, value, ok := strings.Cut(text, ":")
	value = strings.TrimLeft(value, " ")
	if !ok || strings.Count(value, "{}") != 1 {
		return "", "", "", mistake(help, "the header is not a name, a colon, and a value in which {} stands once for the secret")
	}
	if err := CheckHeader(name, value); err != nil {
		return "", "", "", err
	}
	before, after, _ = strings.Cut(value, "{}")
	return strings.ToLower(name), before, after, nil
}

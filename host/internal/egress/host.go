package egress

import (
	"net/netip"
	"strings"
)

// parseHost reads the host of a URL, in lower case. Only one way of writing each host is taken.
func parseHost(host string) (string, *Mistake) {
	if strings.HasPrefix(host, "[") {
		return parseIPv6(host)
	}
	if strings.ContainsAny(host, ":[]%") {
		return "", mistake("write an IPv6 address in brackets: [2001:db8::1]", "%q is no name of a host", clip(host))
	}
	if m := checkName(host); m != nil {
		return "", m
	}
	if addr, ok, m := numeric(host); ok || m != nil {
		return addr, m
	}
	if !strings.Contains(host, ".") && host != Localhost {
		return "", mistake("write the whole name, such as api.example.com", "%q is no whole name of a host", clip(host))
	}
	return host, nil
}

// numeric reads a host that a resolver may take for an IPv4 address: its last label is a number. Only four decimal
// numbers without leading zeros are one; octal, hexadecimal and short forms are refused.
func numeric(host string) (string, bool, *Mistake) {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x") {
		return "", false, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Is4() {
		return "", false, mistake("write an IPv4 address as four decimal numbers: 192.0.2.1", "%q is no address in its usual form", clip(host))
	}
	return addr.String(), true, nil
}

func parseIPv6(host string) (string, *Mistake) {
	inner, ok := strings.CutSuffix(host[1:], "]")
	if !ok {
		return "", mistake("write an IPv6 address in brackets: [2001:db8::1]", "%q is no address", clip(host))
	}
	addr, err := netip.ParseAddr(inner)
	switch {
	case err != nil || !addr.Is6():
		return "", mistake("write an IPv6 address in brackets: [2001:db8::1]", "%q is no IPv6 address", clip(host))
	case addr.Zone() != "":
		return "", mistake("leave out % and what follows it", "the address %q has a zone", clip(host))
	case addr.Is4In6():
		return "", mistake("write it as an IPv4 address: "+addr.Unmap().String(), "%q is an IPv4 address in another form", clip(host))
	}
	return "[" + addr.String() + "]", nil
}

const (
	maxName  = 253
	maxLabel = 63
)

// checkName looks at the letters of a name.
func checkName(name string) *Mistake {
	if name == "" {
		return mistake("write https://HOST/PATH", "the URL names no host")
	}
	if strings.HasSuffix(name, ".") {
		return mistake("remove the dot at the end of the host", "the host %q ends with a dot", clip(name))
	}
	if len(name) > maxName {
		return mistake("", "the name of the host has %d bytes, at most %d", len(name), maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if !goodLabel(label) {
			return mistake("a name has letters, digits and hyphens between dots", "%q is no name of a host", clip(name))
		}
	}
	return nil
}

// goodLabel reports whether a label is one of letters, digits and inner hyphens. Two hyphens after two letters are for
// names in their ASCII form alone.
func goodLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	if len(label) > 3 && label[2:4] == "--" && !strings.HasPrefix(label, "xn--") {
		return false
	}
	return strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

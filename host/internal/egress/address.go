package egress

import "net/netip"

// closed are the IPv4 networks and the parts of the global IPv6 space that are not for guests, with what they are.
func closed() []network {
	return []network{
		{"0.0.0.0/8", "this network"},
		{"10.0.0.0/8", "private"},
		{"100.64.0.0/10", "of a carrier's own network"},
		{"127.0.0.0/8", "of this machine"},
		{"168.63.129.16/32", "a service of the cloud's own"},
		{"169.254.0.0/16", "link-local"},
		{"172.16.0.0/12", "private"},
		{"192.0.0.0/24", "reserved"},
		{"192.0.2.0/24", "for documentation"},
		{"192.88.99.0/24", "a relay of 6to4"},
		{"192.168.0.0/16", "private"},
		{"198.18.0.0/15", "for benchmarks"},
		{"198.51.100.0/24", "for documentation"},
		{"203.0.113.0/24", "for documentation"},
		{"224.0.0.0/4", "of a group"},
		{"240.0.0.0/4", "reserved"},
		{"2001::/23", "of a protocol, such as Teredo"},
		{"2001:db8::/32", "for documentation"},
		{"2002::/16", "an IPv4 address in 6to4"},
		{"3fff::/20", "for documentation"},
	}
}

type network struct{ prefix, about string }

// Closed says why an address is not for guests, such as "private"; "" for one on the public internet. An IPv4 address in
// the form of an IPv6 one is judged as what it is, and whatever hides one otherwise is refused.
func Closed(addr netip.Addr) string {
	if !addr.IsValid() || addr.Zone() != "" {
		return "of one link alone"
	}
	addr = addr.Unmap()
	switch {
	case addr.IsLoopback():
		return "of this machine"
	case addr.IsUnspecified():
		return "no address"
	case addr.IsPrivate():
		return "private"
	case addr.IsLinkLocalUnicast(), addr.IsLinkLocalMulticast():
		return "link-local"
	case addr.IsMulticast():
		return "of a group"
	case addr.Is6() && !netip.MustParsePrefix("2000::/3").Contains(addr):
		return "outside of the public IPv6 space" // NAT64 and the translated forms among them
	case addr.Is6() && isatap(addr):
		return "an IPv4 address in ISATAP"
	}
	for _, n := range closed() {
		if netip.MustParsePrefix(n.prefix).Contains(addr) {
			return n.about
		}
	}
	return ""
}

// isatap reports whether the interface part holds an IPv4 address.
func isatap(addr netip.Addr) bool {
	b := addr.As16()
	return (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

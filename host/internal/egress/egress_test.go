package egress_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/internal/egress"
)

func TestURLsHaveOneForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://api.example.com":                                     "https://api.example.com/",
		"HTTPS://API.Example.COM:443/a":                               "https://api.example.com/a",
		"http://api.example.com:80/":                                  "http://api.example.com/",
		"https://api.example.com:8443/%7ea%2a%c3%a":                   "",
		"https://api.example.com:8443/%7ea%2a%c3%a4?q=%2e%2F..&r=[1]": "https://api.example.com:8443/~a%2A%C3%A4?q=%2e%2F..&r=[1]",
		"https://api.example.com?x=1":                                 "https://api.example.com/?x=1",
		"https://api.example.com/?":                                   "https://api.example.com/",
		"https://api.example.com/a//b/...;x=1/!$&'()*+,=:@":           "https://api.example.com/a//b/...;x=1/!$&'()*+,=:@",
		"https://xn--bcher-kva.example/":                              "https://xn--bcher-kva.example/",
		"http://127.0.0.1:8080/x":                                     "http://127.0.0.1:8080/x",
		"http://[0:0::1]:8080/x":                                      "http://[::1]:8080/x",
		"http://localhost/":                                           "http://localhost/",
		"https://example.com/100%25":                                  "https://example.com/100%25",
	} {
		u, err := egress.ParseURL(text)
		if want == "" {
			if err == nil {
				t.Errorf("%s is taken as %s", text, u)
			}
			continue
		}
		if err != nil || u.String() != want {
			t.Errorf("%s: got %q, %v, want %q", text, u.String(), err, want)
		}
	}
}

// refusedURLs are URLs that some program reads as another one than this.
func refusedURLs() []string {
	return []string{
		"", "/", "//api.example.com/", "api.example.com", "https:/api.example.com/", "https:api.example.com", "https://", "https:///etc", "https://?x", "https://#x",
		"ftp://api.example.com/", "file:///etc/passwd", "gopher://api.example.com/", "unix:///run/x.sock", "javascript:1", "data:,x", "ws://api.example.com/",
		"https://user@api.example.com/", "https://user:pass@api.example.com/", "https://api.example.com@evil.example/", "https://api.example.com:443@evil.example/", "https://@api.example.com/",
		"https://api.example.com:/", "https://api.example.com:0/", "https://api.example.com:00443/", "https://api.example.com:65536/", "https://api.example.com:+443/", "https://api.example.com:443x/", "https://api.example.com:４43/", "https://api.example.com:80:80/",
		"https://api.example.com./", "https://api..example.com/", "https://.example.com/", "https://api_x.example.com/", "https://-a.example.com/", "https://a-.example.com/", "https://ab--c.example.com/",
		"https://api%2eexample.com/", "https://api%00.example.com/", "https://bücher.example/", "https://ａpi.example.com/", "https://api。example.com/", "https://①27.0.0.1/", "https://" + strings.Repeat("a", 64) + ".example.com/", "https://" + strings.Repeat("a.", 130) + "com/",
		"https://intranet/", "https://metadata/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://127.0.0.01/", "https://127.0.0.1.5/", "https://256.0.0.1/", "https://1.2.3.4.example.0x1/", "https://127.0.0.1./", "https://0/",
		"https://[::1/", "https://::1/", "https://[::1%25eth0]/", "https://[::1%eth0]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[127.0.0.1]/", "https://[v1.x]/", "https://[::1]x/", "https://[]/", "https://[::1]:/",
		"https://api.example.com/a/../b", "https://api.example.com/..", "https://api.example.com/./a", "https://api.example.com/a/..;x=1/b", "https://api.example.com/%2e%2e/b", "https://api.example.com/a/.%2E/b", "https://api.example.com/%2fadmin", "https://api.example.com/a%5cb", "https://api.example.com/a\\b", "https://api.example.com\\@evil.example/",
		"https://api.example.com/%252e%252e/", "https://api.example.com/%252fadmin", "https://api.example.com/%00", "https://api.example.com/%0d%0aX:1", "https://api.example.com/%zz", "https://api.example.com/%", "https://api.example.com/%2", "https://api.example.com/a b", "https://api.example.com/\r\nHost: x", "https://api.example.com/\t", "https://api.example.com/\x00", "https://api.example.com/\x7f", "https://api.example.com/ä", "https://api.example.com/<x>", "https://api.example.com/{x}", "https://api.example.com/^",
		"https://api.example.com/#x", "https://api.example.com#@evil.example/", "https://api.example.com/?a#b", "https://api.example.com/?a=\"b\"", "https://api.example.com/?a=<b>", " https://api.example.com/", "https://api.example.com/ ", "https:// api.example.com/", "https://api.example.com/" + strings.Repeat("a", 9000),
	}
}

func TestAmbiguousURLsAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range refusedURLs() {
		if u, err := egress.ParseURL(text); err == nil {
			t.Errorf("%.80q is taken as %s", text, u)
		} else if err.Error() == "" || strings.ContainsAny(err.Error(), "\r\n\x00") {
			t.Errorf("%.80q is refused with %q", text, err)
		}
	}
}

func TestPatternsCoverWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, canonical string
		yes, no            []string
	}{
		{
			"https://api.example.com/v1/*", "GET https://api.example.com/v1/*",
			[]string{"GET https://api.example.com/v1/", "HEAD https://api.example.com/v1/x?y=/../z", "GET https://API.example.com:443/v1/x/y"},
			[]string{
				"POST https://api.example.com/v1/x", "GET http://api.example.com/v1/x", "GET https://api.example.com:8443/v1/x", "GET https://api.example.com/v1", "GET https://api.example.com/v10/x",
				"GET https://api.example.com/V1/x", "GET https://xapi.example.com/v1/x", "GET https://api.example.com.evil.example/v1/x", "GET https://example.com/v1/x", "GET https://a.api.example.com/v1/x", "GET https://api.example.com//v1/x",
			},
		},
		{"POST https://api.example.com:8443/items", "POST https://api.example.com:8443/items", []string{"POST https://api.example.com:8443/items?a=b"}, []string{"POST https://api.example.com:8443/items/", "GET https://api.example.com:8443/items", "POST https://api.example.com/items"}},
		{"* https://api.example.com/*", "* https://api.example.com/*", []string{"DELETE https://api.example.com/", "GET https://api.example.com/x"}, []string{"GET https://example.com/"}},
		{"HEAD https://api.example.com/*", "HEAD https://api.example.com/*", []string{"HEAD https://api.example.com/"}, []string{"GET https://api.example.com/"}},
		{
			"https://*.example.com/*", "GET https://*.example.com/*",
			[]string{"GET https://a.example.com/", "GET https://a.b.example.com/x"},
			[]string{"GET https://example.com/", "GET https://aexample.com/", "GET https://a.example.com.evil.example/", "GET http://a.example.com/"},
		},
		{"http://127.0.0.1:8080/*", "GET http://127.0.0.1:8080/*", []string{"GET http://127.0.0.1:8080/x"}, []string{"GET http://127.0.0.1/x", "GET http://localhost:8080/x", "GET http://127.0.0.2:8080/x", "GET http://[::1]:8080/x"}},
		{"https://[2001:DB8::1]/*", "GET https://[2001:db8::1]/*", []string{"GET https://[2001:db8:0::1]/x"}, []string{"GET https://[2001:db8::2]/x"}},
		{"GET  https://api.example.com/%7Euser*", "GET https://api.example.com/~user*", []string{"GET https://api.example.com/~user1", "GET https://api.example.com/%7euser"}, nil},
	} {
		p, err := egress.ParsePattern(c.pattern)
		if err != nil || p.String() != c.canonical {
			t.Errorf("%s: got %q, %v, want %q", c.pattern, p.String(), err, c.canonical)
			continue
		}
		for want, requests := range map[bool][]string{true: c.yes, false: c.no} {
			for _, r := range requests {
				method, text, _ := strings.Cut(r, " ")
				u, err := egress.ParseURL(text)
				if err != nil || p.Allows(method, u) != want {
					t.Errorf("%s, %s: got %t, %v, want %t", c.pattern, r, !want, err, want)
				}
			}
		}
	}
}

func TestPatternsWithMistakesAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "*", "GET", "GET ", "get https://api.example.com/*", "GET POST https://api.example.com/*", "CONNECT https://api.example.com/*", "TRACE https://api.example.com/*",
		"https://api.example.com", "https://*/*", "https://*.com/*", "https://*.*.example.com/*", "https://a*.example.com/*", "https://*.127.0.0.1/*", "https://*.localhost/*", "https://api.example.com:*/*",
		"https://api.example.com/*/x", "https://api.example.com/**", "https://api.example.com/x?y", "https://api.example.com/x#y", "https://api.example.com/../*", "https://api.example.com/..*/x", "*://api.example.com/*",
		"https://0.0.0.0/*", "https://[::]/*", "https://224.0.0.1/*", "https://[ff02::1]/*", "https://255.255.255.255/*", "https://intranet/*", "https://user@api.example.com/*",
	} {
		if p, err := egress.ParsePattern(text); err == nil {
			t.Errorf("%q is taken as %s", text, p)
		}
	}
}

func TestAddressesThatAreNotForGuests(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
		"192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2001:10::1",
		"2002:7f00:1::", "2002:808:808::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1", "2a00::5efe:7f00:1", "2a00::200:5efe:808:808", "2606:4700::1%eth0",
	} {
		if egress.Closed(netip.MustParseAddr(text)) == "" {
			t.Errorf("%s is open", text)
		}
	}
	for _, text := range []string{"1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"} {
		if why := egress.Closed(netip.MustParseAddr(text)); why != "" {
			t.Errorf("%s is closed: %s", text, why)
		}
	}
	if egress.Closed(netip.Addr{}) == "" {
		t.Error("no address is open")
	}
}

// FuzzURL: what is taken has one form, reads the same to another parser, and is covered by its own line and by no line
// for another host.
func FuzzURL(f *testing.F) {
	for _, text := range refusedURLs() {
		f.Add(text)
	}
	for _, text := range []string{"https://api.example.com/v1/x?y=z", "http://127.0.0.1:8080/%7Ea", "https://[2001:db8::1]:444/a;b/c//d", "https://xn--bcher-kva.example/%C3%A4"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := egress.ParseURL(text)
		if err != nil {
			return
		}
		again, err := egress.ParseURL(u.String())
		if err != nil || again != u {
			t.Fatalf("%q reads as %q, and that as %q, %v", text, u, again, err)
		}
		other, err := url.Parse(u.String())
		if err != nil || other.Host != u.Authority() || other.Scheme != u.Scheme || other.EscapedPath() != u.Path || other.RawQuery != u.Query || other.User != nil || other.Fragment != "" {
			t.Fatalf("%q reads as %q, and to another parser as %+v, %v", text, u, other, err)
		}
		if strings.Contains(other.Path, "/../") || strings.HasSuffix(other.Path, "/..") || strings.ContainsAny(other.Path, "\\\x00\r\n") {
			t.Fatalf("%q leads to the path %q", text, other.Path)
		}
		own, err := egress.ParsePattern(egress.Line("GET", u))
		if addr, ok := u.Addr(); ok && err != nil && (addr.IsUnspecified() || addr.IsMulticast() || addr.String() == "255.255.255.255") {
			return
		}
		if err != nil || !own.Allows("GET", u) {
			t.Fatalf("%q is not covered by its own line: %v", u, err)
		}
		for _, foreign := range []string{"GET https://api.other.example/*", "* http://*.other.example/*"} {
			p, err := egress.ParsePattern(foreign)
			if err == nil && p.Allows("GET", u) && !strings.HasSuffix(u.Host, ".other.example") {
				t.Fatalf("%q is covered by %s", u, foreign)
			}
		}
	})
}

// FuzzPattern: what is taken has one form.
func FuzzPattern(f *testing.F) {
	for _, text := range []string{"GET https://api.example.com/v1/*", "* http://*.example.com:81/%7Ea", "https://[::1]/", "POST https://10.0.0.1/**", "https://*.127.0.0.1/x*"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := egress.ParsePattern(text)
		if err != nil {
			return
		}
		if again, err := egress.ParsePattern(p.String()); err != nil || again != p {
			t.Fatalf("%q reads as %q, and that as %q, %v", text, p, again, err)
		}
	})
}

package egress_test

import (
	"testing"

	"github.com/uniflow-dev/uniflow/host/internal/egress"
)

// Promise: a pattern includes another one only if no request passes the other and not it.
func TestPatternsThatIncludeOthers(t *testing.T) {
	t.Parallel()
	const api = "https://api.example.com"
	for _, c := range []struct {
		outer, inner string
		want         bool
	}{
		{"GET " + api + "/v1/*", "GET " + api + "/v1/*", true},
		{"GET " + api + "/v1/*", "HEAD " + api + "/v1/x", true},
		{"* " + api + "/*", "* " + api + "/v1/*", true},
		{"GET " + api + "/v1/*", "* " + api + "/v1/*", false},
		{"HEAD " + api + "/v1/*", "GET " + api + "/v1/*", false},
		{"GET " + api + "/v1/*", "POST " + api + "/v1/*", false},
		{"GET " + api + "/v1/*", "GET " + api + "/*", false},
		{"GET " + api + "/v1/*", "GET " + api + "/v2/*", false},
		{"GET " + api + "/v1", "GET " + api + "/v1", true},
		{"GET " + api + "/v1", "GET " + api + "/v1*", false},
		{"GET " + api + "/v1", "GET " + api + "/v1/x", false},
		{"GET " + api + "/*", "GET http://api.example.com/*", false},
		{"GET " + api + "/*", "GET https://api.example.com:8443/*", false},
		{"GET https://*.example.com/*", "GET " + api + "/*", true},
		{"GET https://*.example.com/*", "GET https://*.api.example.com/*", true},
		{"GET https://*.example.com/*", "GET https://*.example.com/*", true},
		{"GET https://*.example.com/*", "GET https://example.com/*", false},
		{"GET https://*.example.com/*", "GET https://badexample.com/*", false},
		{"GET https://*.api.example.com/*", "GET https://*.example.com/*", false},
		{"GET " + api + "/*", "GET https://*.example.com/*", false},
		{"GET " + api + "/*", "GET https://*.api.example.com/*", false},
		{"GET https://10.0.0.1/*", "GET https://10.0.0.1/x", true},
		{"GET https://*.0.0.1.example/*", "GET https://10.0.0.1/x", false},
	} {
		outer, err := egress.ParsePattern(c.outer)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := egress.ParsePattern(c.inner)
		if err != nil {
			t.Fatal(err)
		}
		if got := outer.Includes(inner); got != c.want {
			t.Errorf("%s includes %s: %t", c.outer, c.inner, got)
		}
	}
}

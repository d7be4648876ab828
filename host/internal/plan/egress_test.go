package plan

import (
	"reflect"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func mistakesOfEgress() []mistake {
	return []mistake{
		{"lines of grant.http", changePlugin("clean", func(p *flow.Plugin) {
			p.Grant.HTTP = []string{"https://api.example.com/v1/*", "api.example.com", "CONNECT https://api.example.com/", "GET https://*/x", "https://api.example.com", "http://0.0.0.0/*"}
		}), `error UF1231 plugins.clean.grant.http.1: "api.example.com" grants nothing: the URL does not begin with https:// or http:// | write https://HOST/PATH
error UF1231 plugins.clean.grant.http.2: "CONNECT https://api.example.com/" grants nothing: "CONNECT" is no method that can be granted | use GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, or * for all of them
error UF1231 plugins.clean.grant.http.3: "GET https://*/x" grants nothing: a * stands alone for the method, as *. before the host, or at the end of the path | write METHOD https://HOST/PATH*, such as "GET https://api.example.com/v1/*"
error UF1231 plugins.clean.grant.http.4: "https://api.example.com" grants nothing: the pattern has no path | write https://api.example.com/* for all of it
error UF1231 plugins.clean.grant.http.5: "http://0.0.0.0/*" grants nothing: 0.0.0.0 is not the address of a machine | name the address of one machine`},
		{"grant of a pipeline that is one module", func(m *flow.Manifest, _ *Inputs) {
			p := m.Pipelines["hello"]
			p.Grant.HTTP = []string{"ftp://example.com/x"}
			m.Pipelines["hello"] = p
		}, `error UF1231 pipelines.hello.grant.http.0: "ftp://example.com/x" grants nothing: the URL does not begin with https:// or http:// | write https://HOST/PATH`},
		{
			"too many lines", changePlugin("clean", func(p *flow.Plugin) {
				for range 201 {
					p.Grant.HTTP = append(p.Grant.HTTP, "https://api.example.com/*")
				}
			}),
			`error UF1107 plugins.clean.grant.http: grant.http has 201 lines; at most 200 | end some of them with *`,
		},
		{"places of secrets", func(m *flow.Manifest, _ *Inputs) {
			m.Host.Secrets = "dir:secrets"
			changePlugin("clean", func(p *flow.Plugin) {
				p.Grant.HTTP = []string{"https://api.example.com/*"}
				p.Secrets = map[string]flow.SecretBinding{
					"A":     {},
					"B":     {To: "https://api.example.com/v1", Header: "X-B: {}"},
					"C":     {To: "http://api.example.com", Header: "X-C: {}"},
					"D":     {To: "https://api.example.com", Header: "Host: {}"},
					"E":     {To: "https://api.example.com", Header: "X-E: token"},
					"F":     {To: "https://api.example.com"},
					"G":     {Header: "X-G: {}"},
					"H":     {To: "https://api.example.com", Header: "X-H: {}", Expose: true},
					"I":     {To: "https://api.example.com", Header: "X-I: {}"},
					"J":     {To: "https://API.example.com:443", Header: "x_i: {}"},
					"K":     {To: "https://other.example.com", Header: "X-K: {}"},
					"L/../": {Expose: true},
				}
			})(m, nil)
		}, `error UF1232 plugins.clean.secrets.A: nothing is said of where secret "A" goes | write to = "https://HOST" and header = "Authorization: Bearer {}"; or expose = true, if the plugin must read it
error UF1232 plugins.clean.secrets.B.to: "https://api.example.com/v1" is no origin: a secret is bound to an origin, without a path | write https://api.example.com
error UF1232 plugins.clean.secrets.C.to: secret "C" would be sent in plain text to http://api.example.com | write to = "https://api.example.com"
error UF1232 plugins.clean.secrets.D.header: secret "D" cannot be filled in: the header Host is the host's | leave it out
error UF1232 plugins.clean.secrets.E.header: secret "E" cannot be filled in: the header is not a name, a colon, and a value in which {} stands once for the secret | write header = "Authorization: Bearer {}"
error UF1232 plugins.clean.secrets.F: secret "F" has an origin and no header | write header = "Authorization: Bearer {}"
error UF1232 plugins.clean.secrets.G: secret "G" has a header and no origin | write to = "https://HOST"
error UF1232 plugins.clean.secrets.H.expose: secret "H" is either filled in by the host or read by the plugin | remove expose, so that the plugin never sees it
error UF1232 plugins.clean.secrets.J.header: secrets "I" and "J" have one place, the header x_i of https://api.example.com | bind one of them to another header
warning UF1233 plugins.clean.secrets.K.to: secret "K" is never sent: no line of grant.http leads to https://other.example.com | grant it: http = ["GET https://other.example.com/*"]
error UF1111 plugins.clean.secrets.L/../: "L/../" is no name for a secret | use letters, digits, _ and -, as in API_TOKEN`},
		{
			"no source of secrets", changePlugin("clean", func(p *flow.Plugin) {
				p.Secrets = map[string]flow.SecretBinding{"KEY": {Expose: true}}
			}),
			`error UF5113 plugins.clean.secrets.KEY: there is no source for secret "KEY" | say where secrets are: secrets = "dir:secrets" under [host]`,
		},
	}
}

// Promise: a frozen plan holds the places of secrets, in one form however they are written, and so does its version.
func TestPlanHoldsGrantsAndPlacesOfSecrets(t *testing.T) {
	t.Parallel()
	reach := func(line, to string) flow.Plan {
		m := mended()
		m.Host.Secrets = "dir:secrets"
		changePlugin("clean", func(p *flow.Plugin) {
			p.Grant.HTTP = []string{line}
			p.Secrets = map[string]flow.SecretBinding{"TOKEN": {To: to, Header: "Authorization: Bearer {}"}}
		})(&m, nil)
		return built(t, m, facts())[1]
	}
	one, same := reach("https://api.example.com/v1/*", "https://api.example.com"), reach("GET HTTPS://API.example.com:443/v1/*", "https://API.example.com:443")
	clean := one.Plugins["clean"]
	if want := []string{"GET https://api.example.com/v1/*"}; !reflect.DeepEqual(clean.Grant.HTTP, want) {
		t.Errorf("lines %q, want %q", clean.Grant.HTTP, want)
	}
	if want := (flow.SecretBinding{To: "https://api.example.com", Header: "Authorization: Bearer {}"}); clean.Secrets["TOKEN"] != want {
		t.Errorf("secret %+v, want %+v", clean.Secrets["TOKEN"], want)
	}
	if one.Digest != same.Digest {
		t.Error("the same, written in another way, is another version")
	}
	if other := reach("POST https://api.example.com/v1/*", "https://api.example.com"); other.Digest == one.Digest {
		t.Error("another grant is the same version")
	}
}

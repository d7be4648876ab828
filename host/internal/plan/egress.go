package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
)

const (
	maxPatterns = 200
	maxSecrets  = 50
	maxSecret   = 128 // bytes of a name
)

// http checks the lines of grant.http.
func (b *builder) http(at key, lines []string) {
	if len(lines) > maxPatterns {
		b.fail(flow.CodeOutOfRange, at, "end some of them with *", "grant.http has %d lines; at most %d", len(lines), maxPatterns)
	}
	for i, line := range lines {
		if _, err := egress.ParsePattern(line); err != nil {
			b.mistake(flow.CodeHTTPGrant, at.to(strconv.Itoa(i)), fmt.Sprintf("%q grants nothing", clipped(line)), err)
		}
	}
}

// mistake reports what is wrong with a pattern or a place, in the words of the package that reads it.
func (b *builder) mistake(code flow.Code, at key, what string, err error) {
	help := ""
	if m, ok := errors.AsType[*egress.Mistake](err); ok {
		help = m.Help
	}
	b.fail(code, at, help, "%s: %s", what, err.Error())
}

// clipped bounds what a message repeats of the manifest.
func clipped(text string) string {
	const most = 100
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// secrets checks the secrets of a plugin.
func (b *builder) secrets(at key, p flow.Plugin) {
	if len(p.Secrets) > maxSecrets {
		b.fail(flow.CodeOutOfRange, at, "", "the plugin has %d secrets; at most %d", len(p.Secrets), maxSecrets)
	}
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(p.Secrets)) {
		at, s := at.to(name), p.Secrets[name]
		if !goodSecret(name) {
			b.fail(flow.CodeBadName, at, "use letters, digits, _ and -, as in API_TOKEN", "%q is no name for a secret", clipped(name)).OnKey = true
		}
		if b.m.Host.Secrets == "" {
			b.fail(flow.CodeSecret, at, `say where secrets are: secrets = "dir:secrets" under [host]`, "there is no source for secret %q", clipped(name)).OnKey = true
		}
		if b.in.Bounds != nil && s.Expose && !b.in.Bounds.Ceiling.Expose {
			b.excess(at.to("expose"), []string{"expose"}, "it does not allow expose", "expose of secret %q", clipped(name))
		}
		switch bound := s.To != "" || s.Header != ""; {
		case bound && s.Expose:
			b.fail(flow.CodeSecretPlace, at.to("expose"), "remove expose, so that the plugin never sees it", "secret %q is either filled in by the host or read by the plugin", name)
		case bound:
			b.binding(at, name, s, p.Grant.HTTP, taken)
		case !s.Expose:
			b.fail(flow.CodeSecretPlace, at, `write to = "https://HOST" and header = "Authorization: Bearer {}"; or expose = true, if the plugin must read it`, "nothing is said of where secret %q goes", name).OnKey = true
		}
	}
}

// goodSecret reports whether a name can stand in a file, in the environment and as a file.
func goodSecret(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return name != "" && len(name) <= maxSecret && strings.Trim(name, letters) == ""
}

// binding checks where a secret is filled in; taken holds the places of others.
func (b *builder) binding(at key, name string, s flow.SecretBinding, grants []string, taken map[string]string) {
	origin, err := egress.ParseOrigin(s.To)
	switch {
	case s.To == "":
		b.fail(flow.CodeSecretPlace, at, `write to = "https://HOST"`, "secret %q has a header and no origin", name).OnKey = true
		return
	case err != nil:
		b.mistake(flow.CodeSecretPlace, at.to("to"), fmt.Sprintf("%q is no origin", clipped(s.To)), err)
		return
	case origin.Scheme == "http" && !origin.Local():
		b.fail(flow.CodeSecretPlace, at.to("to"), `write to = "https://`+origin.Host+`"`, "secret %q would be sent in plain text to %s", name, origin)
		return
	}
	if s.Header == "" {
		b.fail(flow.CodeSecretPlace, at, `write header = "Authorization: Bearer {}"`, "secret %q has an origin and no header", name).OnKey = true
		return
	}
	header, _, _, err := egress.ParseHeader(s.Header)
	if err != nil {
		b.mistake(flow.CodeSecretPlace, at.to("header"), fmt.Sprintf("secret %q cannot be filled in", name), err)
		return
	}
	place := origin.String() + " " + egress.HeaderKey(header)
	if other, ok := taken[place]; ok {
		b.fail(flow.CodeSecretPlace, at.to("header"), "bind one of them to another header", "secrets %q and %q have one place, the header %s of %s", other, name, header, origin)
	}
	taken[place] = name
	if !slices.ContainsFunc(grants, func(line string) bool {
		p, err := egress.ParsePattern(line)
		return err != nil || p.Covers(origin) // a bad line is told itself
	}) {
		b.warn(flow.CodeSecretIdle, at.to("to"), fmt.Sprintf(`grant it: http = ["GET %s/*"]`, origin), "secret %q is never sent: no line of grant.http leads to %s", name, origin)
	}
}

// frozenHTTP is grant.http in canonical form.
func frozenHTTP(lines []string) []string {
	frozen := slices.Clone(lines)
	for i, line := range lines {
		if p, err := egress.ParsePattern(line); err == nil {
			frozen[i] = p.String()
		}
	}
	return frozen
}

// frozenSecrets is the places of secrets in canonical form.
func frozenSecrets(secrets map[string]flow.SecretBinding) map[string]flow.SecretBinding {
	frozen := maps.Clone(secrets)
	for name, s := range frozen {
		if origin, err := egress.ParseOrigin(s.To); err == nil && s.To != "" {
			s.To = origin.String()
			frozen[name] = s
		}
	}
	return frozen
}

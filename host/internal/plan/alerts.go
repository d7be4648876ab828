package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/expr"
)

// alerts checks the targets of messages.
func (b *builder) alerts() {
	for _, name := range slices.Sorted(maps.Keys(b.m.Alerts)) {
		a := b.m.Alerts[name]
		at := key{"alerts", name}
		if !goodName(name, true) {
			b.fail(flow.CodeBadName, at, nameHelp, "%q is no name for an alert", name).OnKey = true
		}
		for i, on := range a.On {
			b.word(at.to("on", strconv.Itoa(i)), on, flow.AlertWords()...)
		}
		b.secretText(at.to("url"), a.URL)
		b.secretText(at.to("sign"), a.Sign)
		b.beyondAlert(at.to("url"), a.URL)
		scheme := b.alertURL(at.to("url"), a.URL.Text)
		b.sign(at.to("sign"), a.Sign, scheme)
	}
}

// secretText demands a source for what is named as a secret.
func (b *builder) secretText(at key, t flow.SecretText) {
	if t.Secret != "" && b.m.Host.Secrets == "" {
		b.fail(flow.CodeSecret, at, `say where secrets are: secrets = "dir:secrets" under [host]`, "there is no source for secret %q", t.Secret)
	}
}

// alertURL checks the URL of an alert as far as it can be known here, and returns its scheme. The message does not
// repeat the URL: it is a secret.
func (b *builder) alertURL(at key, text string) string {
	if text == "" {
		return ""
	}
	before, _, ok := strings.Cut(text, "://")
	if _, err := url.Parse(text); !ok || err != nil {
		b.fail(flow.CodeAlertURL, at, `write the URL of a service, url = "slack://…", or of a webhook, url = "https://…"`, "the url of alert %q is no URL", at[1])
		return ""
	}
	scheme, _, _ := strings.Cut(before, "+")
	if !slices.Contains(flow.AlertSchemes(), scheme) {
		found := b.fail(flow.CodeAlertURL, at, cmp.Or(expr.DidYouMean(scheme, flow.AlertSchemes()), "docs/ALERTS.md lists the services; a webhook has https://"), "no service is called %q", scheme)
		found.Length = len(scheme)
		return ""
	}
	return before
}

// sign checks the signing secret of a webhook. The message does not repeat it.
func (b *builder) sign(at key, t flow.SecretText, scheme string) {
	if t == (flow.SecretText{}) {
		return
	}
	if scheme != "" && scheme != flow.SchemeHTTP && scheme != flow.SchemeHTTPS {
		b.fail(flow.CodePlace, at, "remove it, or write the URL of a webhook", "sign is for webhooks; the url of alert %q is one of %s", at[1], scheme).OnKey = true
	}
	for part := range strings.FieldsSeq(t.Text) {
		if _, err := flow.SigningKey(part); err != nil {
			b.fail(flow.CodeAlertSign, at, `keep it as a secret: sign = { secret = "WEBHOOK_KEY" }`, "%s", err)
			return
		}
	}
}

// watched checks what a pipeline says of its alerts and of what to expect, and freezes it.
func (b *builder) watched(at key, p *flow.Plan, src *flow.Pipeline) {
	for i, name := range src.Alerts {
		if _, ok := b.m.Alerts[name]; !ok {
			b.fail(flow.CodeUnknownAlert, at.to("alerts", fmt.Sprint(i)), expr.DidYouMean(name, slices.Sorted(maps.Keys(b.m.Alerts))), "there is no alert %q", name)
		}
	}
	p.Alerts = src.Alerts
	if src.Expect == (flow.Expect{}) {
		return
	}
	p.Expect = flow.PlanExpect{Expect: src.Expect, Timezone: first(src.Timezone, b.m.Host.Timezone, "UTC")}
	if f := src.Expect.Failures; f < 0 || f > maxFailures {
		b.fail(flow.CodeOutOfRange, at.to("expect", "failures"), "", "failures is %d; it lies between 1 and %d", f, maxFailures)
	}
	if src.Expect.By == "" {
		return
	}
	const kind = "daily "
	_, err := calendar.Parse(kind+src.Expect.By, "UTC")
	if bad, ok := err.(*calendar.Error); ok { //nolint:errorlint // Parse returns this type and nothing else
		b.fail(bad.Code, at.to("expect", "by"), `write a time of day: by = "06:00"`, "by is no time of day")
	}
}

// maxFailures bounds expect.failures: so many runs are looked at.
const maxFailures = 20

package watch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
)

// tenantOf is the tenant of an alert's id.
func tenantOf(id string) string {
	if tenant, _, ok := strings.Cut(id, "/"); ok {
		return tenant
	}
	return flow.DefaultTenant
}

// bind holds a target of a tenant to the tenant's ceiling, now: what a secret holds is known to nobody before.
func (c *courier) bind(t *Target) error {
	tenant := tenantOf(t.Name)
	if tenant == flow.DefaultTenant {
		return nil
	}
	var ceiling flow.Ceiling
	if c.config.Ceiling != nil {
		ceiling = c.config.Ceiling(tenant)
	}
	if !ceiling.AllowsAlert(t.URL) {
		return &refusal{message: "its url does not begin as the ceiling of tenant " + tenant + " wants, which allows " + listed(ceiling.Alerts), forever: true}
	}
	scheme, _, _ := strings.Cut(t.URL, "://")
	switch {
	case elsewhere(scheme, t.URL):
		return &refusal{message: "its url names another host behind the ?, and the ceiling of tenant " + tenant + " looks at what stands before it", forever: true}
	case named(&ceiling, t.URL):
	case scheme == flow.SchemeHTTP || scheme == flow.SchemeHTTPS:
		t.Guarded = true
	case !slices.Contains(settled(), scheme):
		// The library dials by itself, so that nobody could look where a host of the tenant's choice leads.
		return &refusal{message: fmt.Sprintf("%s messages go to a host that the url names, and the ceiling of tenant %s names none: it needs %s://HOST/", scheme, tenant, scheme), forever: true}
	}
	return nil
}

func listed(beginnings []string) string {
	if len(beginnings) == 0 {
		return "no alerts"
	}
	return strings.Join(beginnings, ", ")
}

// named reports whether the ceiling names the host of a URL that it allows.
func named(ceiling *flow.Ceiling, text string) bool {
	return slices.ContainsFunc(ceiling.Alerts, func(beginning string) bool {
		_, host, _ := strings.Cut(beginning, "://")
		only := flow.Ceiling{Alerts: []string{beginning}}
		return host != "" && only.AllowsAlert(text)
	})
}

// elsewhere reports whether a URL of the library says behind the ? where it leads, which some services let count. Those of
// teams are held to one domain by the library.
func elsewhere(scheme, text string) bool {
	if scheme == flow.SchemeHTTP || scheme == flow.SchemeHTTPS || scheme == "teams" {
		return false
	}
	u, err := url.Parse(text)
	if err != nil {
		return true
	}
	for name := range u.Query() {
		if name = strings.ToLower(name); name == "host" || name == "port" {
			return true
		}
	}
	return false
}

// settled are the services whose messages go to a host of the service's own, whatever a URL says.
func settled() []string {
	return []string{"discord", "ifttt", "join", "notifiarr", "pushbullet", "pushover", "slack", "telegram", "wecom"}
}

// guarded carries webhooks of tenants to the public internet alone: what is judged is the very address that is dialled.
func guarded() *http.Transport {
	dialer := net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return errors.New("its host has no address")
		}
		if why := egress.Closed(to.Addr()); why != "" {
			return fmt.Errorf("its host is %s, which is %s: where that is meant, the ceiling of the tenant names the host", to.Addr().Unmap(), why)
		}
		return nil
	}}
	return &http.Transport{DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConns: 10, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10}
}

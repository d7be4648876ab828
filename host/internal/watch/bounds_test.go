package watch

import (
	"errors"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Promise: a message of a tenant goes to the host that its ceiling names, whatever stands behind the ? of the URL.
func TestAURLCannotNameAnotherHostBehindItsPath(t *testing.T) {
	t.Parallel()
	c := newCourier(&Config{Ceiling: func(string) flow.Ceiling {
		return flow.Ceiling{Alerts: []string{"signal://signal.example.com:8080/", "https://hooks.example.com/", "slack://"}}
	}})
	for url, allowed := range map[string]bool{
		"signal://signal.example.com:8080/+491/+492":                true,
		"signal://signal.example.com:8080/+491/+492?host=127.0.0.1": false,
		"signal://signal.example.com:8080/+491/+492?HOST=127.0.0.1": false,
		"signal://signal.example.com:8080/+491/+492?a=b&port=22":    false,
		"signal://signal.example.com:8080/+491/+492?h%6fst=evil":    false,
		"https://hooks.example.com/x?host=evil.example":             true, // means nothing to us
		"slack://hook:a-b-c@webhook?color=red":                      true,
	} {
		err := c.bind(&Target{Name: "acme/ops", URL: url})
		if (err == nil) != allowed {
			t.Errorf("%s: %v", url, err)
		}
		if r, ok := errors.AsType[*refusal](err); err != nil && (!ok || !r.forever || strings.Contains(err.Error(), "127.0.0.1")) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

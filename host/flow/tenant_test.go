package flow

import "testing"

// Promise: a URL passes only if it leads where a beginning of the ceiling leads, whoever reads it.
func TestCeilingOfAlerts(t *testing.T) {
	t.Parallel()
	c := Ceiling{Alerts: []string{"slack://", "https://hooks.example.com/acme/", "https://open.example.com", "https", ""}}
	for url, want := range map[string]bool{
		"slack://token@channel":                                true,
		"https://hooks.example.com/acme/x?y=https://evil/../z": true,
		"https://hooks.example.com/acme/..x/y":                 true,
		"https://hooks.example.com/acme":                       false,
		"https://hooks.example.com/acme/../other":              false,
		"https://hooks.example.com/acme/%2e%2e/other":          false,
		"https://hooks.example.com/acme/x%2F..%2Fother":        false,
		`https://hooks.example.com/acme/\..\other`:             false,
		"https://hooks.example.com.evil.example/acme/":         false,
		"HTTPS://hooks.example.com/acme/":                      false,
		"https://user@hooks.example.com/acme/":                 false,
		"https://open.example.com.evil.example/":               false,
		"http://hooks.example.com/acme/":                       false,
		"slack+x://token":                                      false,
		"":                                                     false,
	} {
		if got := c.AllowsAlert(url); got != want {
			t.Errorf("%q is allowed: %t", url, got)
		}
	}
	if (&Ceiling{}).AllowsAlert("slack://x") {
		t.Error("the zero ceiling allows an alert")
	}
}

//go:build !linux

package process

// seal takes nothing away: this system offers no means that needs no administrator.
func seal(string, []string) error { return nil }

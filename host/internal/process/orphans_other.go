//go:build !linux

package process

// reapOrphans is for Linux only.
func reapOrphans(string) int { return 0 }

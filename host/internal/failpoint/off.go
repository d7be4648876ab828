//go:build !faults || !unix

package failpoint

// Here does nothing.
func Here(Point) {}

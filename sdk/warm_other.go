//go:build !wasip1

package uniflow

// Warm has f called once, when the module has been initialised and before its state is kept for all attempts, so that
// what f learns or computes is there from the first attempt on: decoding an example teaches a codec the types of the
// step, for one. Services cannot be reached from f, and what it reads of time and randomness is the same each time. Call
// it from an init function; outside of a reactor it does nothing.
func Warm(func()) {}

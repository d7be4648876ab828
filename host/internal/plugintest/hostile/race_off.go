//go:build !race

package hostile

// racing is true under the race detector, which makes compiling 20 times slower.
const racing = false

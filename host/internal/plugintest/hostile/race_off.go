//go:build !race

package hostile

// Racing is true under the race detector, which makes compiling 20 times slower.
const Racing = false

//go:build linux && !faults

package main

// namedPoints is false: the program is the one that is shipped, and is killed from outside only.
const namedPoints = false

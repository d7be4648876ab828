//go:build linux && faults

package main

// namedPoints tells that the program kills itself where UNIFLOW_FAULT says.
const namedPoints = true

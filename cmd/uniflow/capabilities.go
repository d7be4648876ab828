package main

import (
	"fmt"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// capabilities writes what has changed about plugins: their bytes, what they import and want, and what they are granted.
func (a *app) capabilities(changes []flow.PluginChange) {
	for _, c := range changes {
		for _, words := range c.Words() {
			fmt.Fprintln(a.out, line(words))
		}
	}
}

// Command native is the measured step as a program of the machine.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/uniflow-dev/uniflow/bench/guests/step"
)

func main() {
	os.Exit(run())
}

func run() int {
	doc, err := io.ReadAll(os.Stdin)
	if err == nil {
		var answer []byte
		if answer, err = step.Document(doc); err == nil {
			_, err = os.Stdout.Write(answer)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

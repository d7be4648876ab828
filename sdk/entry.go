package uniflow

import (
	"fmt"
	"io"
	"os"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Main runs a step as a command: it reads the run context from stdin, runs the
// step, and exits with the code of the contract. It does not return.
func Main(step func(*Context) error) {
	host := connect()
	kind := handle(host, func() ([]byte, error) { return readAll(os.Stdin) }, step)
	os.Exit(int(host.finish(kind)))
}

// Handle runs a step as the entry of a reactor and returns what the entry must
// return. Outside of WebAssembly it reads the run context from stdin, as Main
// does.
func Handle(step func(*Context) error) int32 {
	host := connect()
	kind := handle(host, input, step)
	host.finish(kind)
	return int32(kind)
}

func handle(host Host, input func() ([]byte, error), step func(*Context) error) abi.Kind {
	doc, err := input()
	if err != nil {
		return report(host, err)
	}
	run, err := abi.DecodeRunContext(doc)
	if err != nil {
		return report(host, Permanent(fmt.Errorf("%w (is this a Uniflow run context?)", err)))
	}
	return Execute(host, run, step)
}

// readAll reads the run context from r, one byte more than allowed at most.
func readAll(r io.Reader) ([]byte, error) {
	doc, err := io.ReadAll(io.LimitReader(r, abi.MaxContext+1))
	if err != nil {
		return nil, fmt.Errorf("read run context: %w", err)
	}
	return doc, nil
}

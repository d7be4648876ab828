package tool

import (
	_ "embed"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/schema"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

//go:generate cp ../../plugins/echo/echo.wasm starter/hello.wasm

// starterModule is plugins/echo, which a test compares; starterManifest is the first manifest of a project.
var (
	//go:embed starter/hello.wasm
	starterModule []byte
	//go:embed starter/uniflow.toml
	starterManifest []byte
)

// SchemaName is the file that a manifest's first line names.
const SchemaName = "uniflow.schema.json"

// Init begins a project in a folder, which is made where it is not there: a manifest with one pipeline, the module that
// it runs, the manifest's schema, and the lock. It returns the files' paths within the folder. If any of them is there
// already, none is written.
func Init(dir string) ([]string, error) {
	manifestSchema, err := schema.Of(schema.Manifest)
	if err != nil {
		return nil, err
	}
	files := []struct {
		name string
		body []byte
	}{
		{ManifestName, starterManifest},
		{SchemaName, manifestSchema},
		{"plugins/hello.wasm", starterModule},
		{".gitignore", []byte("# What a host keeps: ledger, module cache, artifacts.\n/data/\n")},
	}
	names := []string{}
	var taken []string
	for _, f := range files {
		names = append(names, f.name)
	}
	names = append(names, supply.LockName)
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		return nil, &flow.Error{Code: flow.CodeWouldOverwrite, Op: "begin a project in " + dir, Message: "there is already: " + strings.Join(taken, ", "), Hint: "choose another folder: uniflow init demo"}
	}
	for _, f := range files {
		if err := create(filepath.Join(dir, filepath.FromSlash(f.name)), f.body); err != nil {
			return nil, err
		}
	}
	lock, err := supply.ReadLock(filepath.Join(dir, supply.LockName))
	if err != nil {
		return nil, err
	}
	module, err := wasm.Inspect(starterModule)
	if err != nil {
		return nil, err
	}
	lock.Pin("plugins/hello.wasm", supply.PinnedModule(module.Resolved("")))
	return names, lock.Write()
}

// create writes a file that must not be there.
func create(path string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return unwritable(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // to be read by others, and committed
	if err != nil {
		return unwritable(err)
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Close()); err != nil {
		return unwritable(err)
	}
	return nil
}

func unwritable(err error) error {
	return &flow.Error{Code: flow.CodeInput, Op: "begin a project", Message: "its files cannot be written", Hint: "choose a folder that you may write to: uniflow init DIR", Err: err}
}

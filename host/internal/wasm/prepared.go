package wasm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// prepared is a module as the engine gets it, and what is known of it. It is kept beside the machine code, since making
// it takes longer than loading that.
type prepared struct {
	Info       *Info    `json:"info"`
	UsesABI    bool     `json:"uses_abi"`
	UsesExtism bool     `json:"uses_extism,omitempty"`
	Resettable bool     `json:"resettable"`
	Globals    []string `json:"globals"`
	// Lines is true when traps can be told by the lines of the source.
	Lines bool `json:"lines,omitempty"`

	module []byte
}

// Files of a prepared module in the folder of its machine code.
const (
	preparedModule = "module.wasm"
	preparedInfo   = "module.json"
)

// prepare checks a module and writes it anew.
func prepare(b []byte) (*prepared, error) {
	m, info, err := inspect(b)
	if err != nil {
		return nil, err
	}
	rewritten, done, err := m.Rewrite(optionsOf(m, info.resettable))
	if err != nil {
		return nil, refused(err)
	}
	return &prepared{Info: info, UsesABI: info.usesABI, UsesExtism: info.usesExtism, Resettable: info.resettable, Globals: done.Globals, Lines: m.HasLines(), module: rewritten}, nil
}

// optionsOf says how a module is rewritten.
func optionsOf(m *binary.Module, resettable bool) binary.Options {
	o := rewriting
	o.ExportGlobals, o.Places = resettable, m.HasLines()
	return o
}

// write keeps the module in a folder.
func (p *prepared) write(dir string) error {
	doc, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("keep what is known of a module: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, preparedModule), p.module, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, preparedInfo), doc, 0o600)
}

// readPrepared reads what write wrote, from a folder that is trusted.
func readPrepared(dir string) (*prepared, error) {
	doc, err := os.ReadFile(filepath.Join(dir, preparedInfo))
	if err != nil {
		return nil, err
	}
	p := &prepared{}
	if err := json.Unmarshal(doc, p); err != nil {
		return nil, fmt.Errorf("read what is known of a module: %w", err)
	}
	if p.Info == nil {
		return nil, fmt.Errorf("read what is known of a module: %s says nothing", preparedInfo)
	}
	p.Info.usesABI, p.Info.usesExtism, p.Info.resettable = p.UsesABI, p.UsesExtism, p.Resettable
	p.module, err = os.ReadFile(filepath.Join(dir, preparedModule))
	if err == nil && binary.FormatOf(p.module) != binary.FormatModule {
		err = fmt.Errorf("%s is no module", preparedModule)
	}
	return p, err
}

package tool

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Words of flow.Need.How.
const (
	needImport    = "import"
	needMentioned = "mentioned"
	needWanted    = "wanted"
)

// Modules whose functions hosts offer, beside that of the contract.
const (
	wasiModule   = "wasi_snapshot_preview1"
	extismModule = "extism:host/env"
)

// grantHTTP is a line that lets a plugin make requests.
const grantHTTP = `grant = { http = ["GET https://host/path/*"] }`

// needs lists what a module uses of the host. Services are reached by one function, so which of them a module calls shows
// in its data alone, where the names of operations stand as text: a guess, and marked so.
func needs(m *wasm.Info, module []byte) []flow.Need {
	imported := map[string]bool{}
	for _, i := range m.Imports {
		imported[i.Module+"."+i.Name] = true
	}
	var all []flow.Need
	if imported[abi.Module+"."+abi.ImportCall] {
		all = append(all, services(module)...)
	}
	for _, f := range []struct{ name, manifest, note string }{
		{"clock_time_get", "grant = { clock = true }", "without it, the clock is virtual and begins at scheduled_at"},
		{"random_get", "grant = { random = true }", "without it, random bytes are the same for the same attempt"},
		{"path_open", `grant = { mount = { "/data" = "./data" } }`, "without it, only /in and /out are there"},
		{"environ_get", `grant = { env = { NAME = "value" } }`, "without it, only the variables of the contract are there"},
		{"sock_accept", "", "the host has no sockets: use http.request"},
	} {
		if imported[wasiModule+"."+f.name] {
			all = append(all, flow.Need{What: wasiModule + "." + f.name, How: needImport, Manifest: f.manifest, Note: f.note})
		}
	}
	if imported[extismModule+".http_request"] {
		all = append(all, flow.Need{What: extismModule + ".http_request", How: needImport, Manifest: grantHTTP, Note: "without it, a request ends the attempt"})
	}
	if m.Descriptor != nil {
		all = append(all, wanted(&m.Descriptor.Wants)...)
	}
	return all
}

// services are the operations whose names stand in a module.
func services(module []byte) []flow.Need {
	lines := []struct{ manifest, note, ops string }{
		{grantHTTP, "without it, the answer is denied", abi.OpHTTPRequest},
		{"grant = { state = true }", "without it, the answer is denied", strings.Join([]string{abi.OpStateGet, abi.OpStateSet, abi.OpStateDelete, abi.OpStateList}, " ")},
		{"secrets = { NAME = { expose = true } }", "a secret that is bound to an origin and a header needs no call", abi.OpSecretGet},
		{"grant = { event = true }", "without it, the answer is denied", abi.OpEventEmit},
		{"", "needs no grant", strings.Join([]string{abi.OpArtifactGet, abi.OpArtifactPut, abi.OpHostInfo}, " ")},
	}
	var all []flow.Need
	for _, l := range lines {
		found := slices.DeleteFunc(strings.Fields(l.ops), func(op string) bool { return !bytes.Contains(module, []byte(op)) })
		if len(found) > 0 {
			all = append(all, flow.Need{What: strings.Join(found, ", "), How: needMentioned, Manifest: l.manifest, Note: l.note})
		}
	}
	if len(all) == 0 {
		all = append(all, flow.Need{What: abi.Module + "." + abi.ImportCall, How: needImport, Note: "it calls services whose names cannot be told from its bytes"})
	}
	return all
}

// wanted is what a plugin's author asks for, as lines of a manifest.
func wanted(w *abi.Wants) []flow.Need {
	var all []flow.Need
	add := func(what, manifest string) {
		all = append(all, flow.Need{What: what, How: needWanted, Manifest: manifest})
	}
	if len(w.HTTP) > 0 {
		add("http", "grant = { http = "+quotedList(w.HTTP)+" }")
	}
	for _, path := range w.Mount {
		add("mount", fmt.Sprintf("grant = { mount = { %q = \"FOLDER\" } }", path))
	}
	for _, name := range w.Secret {
		add("secret", fmt.Sprintf("secrets = { %s = { expose = true } }", tomlKey(name)))
	}
	for _, flag := range []struct {
		name string
		on   bool
	}{{"state", w.State}, {"event", w.Event}, {"clock", w.Clock}, {"random", w.Random}} {
		if flag.on {
			add(flag.name, "grant = { "+flag.name+" = true }")
		}
	}
	return all
}

func quotedList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = tomlText(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

package tool

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/schema"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

// templates are the files of new plugins. Each ends with .tmpl, so that none of them is taken for a part of this module.
//
//go:embed all:templates
var templates embed.FS

// language is one that a plugin can begin in.
type language struct {
	title  string
	where  string // the source, for the README
	needs  string // what it takes to build, for the README
	kit    string // about the kit, for the README
	output string // what is built, without the ending .wasm
	build  []string
	files  map[string]string // of the kit: from a path in the project, a pattern, to a folder of the plugin
	ignore []string
	script string // the file of a script, and engine, the plugin that executes it
	engine string
}

const placeName, placeIdent = "__NAME__", "__IDENT__"

// languages are all of them, by the word of --lang.
func languages() map[string]language {
	return map[string]language{
		"go": {
			title: "Go", where: " in main.go", needs: "Go 1.26 or newer",
			kit:   "The kit is a copy in `uniflow-sdk`; `go test` runs the step as a plain function.",
			build: []string{"GOOS=wasip1", "GOARCH=wasm", "go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", placeName + ".wasm", "."},
			files: map[string]string{"sdk/*.go": "uniflow-sdk/sdk", "sdk/abi/*.go": "uniflow-sdk/sdk/abi", "sdk/sdktest/*.go": "uniflow-sdk/sdk/sdktest", "LICENSE": "uniflow-sdk"},
		},
		"go-process": {
			title: "Go, as a process", where: " in main.go", needs: "Go 1.26 or newer, and the modules of go.mod once",
			kit:    "The kit is a copy in `uniflow-sdk`. A process is no sandbox: `--lang go` is where WebAssembly will do.",
			output: "bin/" + placeName, ignore: []string{"/bin/"},
			build: []string{"CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", "bin/" + placeName, "."},
			files: map[string]string{
				"sdk/abi/*.go": "uniflow-sdk/sdk/abi", "sdk/process/*.go": "uniflow-sdk/sdk/process",
				"sdk/process/proto/*.go": "uniflow-sdk/sdk/process/proto", "LICENSE": "uniflow-sdk", "go.sum": "",
			},
		},
		"c": {
			title: "C", where: " in " + placeName + ".c", needs: "clang and lld",
			kit: "The kit is the one header `uniflow.h`: no libc, no WASI.",
			build: []string{
				"clang", "--target=wasm32", "-std=c11", "-Oz", "-ffreestanding", "-fno-builtin", "-nostdlib", "-Wall", "-Wextra",
				"-Wl,--no-entry,--strip-all,-z,stack-size=16384", "-o", placeName + ".wasm", placeName + ".c",
			},
			files: map[string]string{"sdk/c/uniflow.h": ""},
		},
		"cpp": {
			title: "C++", where: " in " + placeName + ".cpp", needs: "clang and lld",
			kit: "The kit is `uniflow.hpp` over `uniflow.h`: no exceptions, no libc and no C++ library needed.",
			build: []string{
				"clang++", "--target=wasm32", "-std=c++17", "-Oz", "-ffreestanding", "-fno-builtin", "-fno-exceptions", "-fno-rtti", "-nostdlib",
				"-Wall", "-Wextra", "-Wl,--no-entry,--strip-all,-z,stack-size=16384", "-o", placeName + ".wasm", placeName + ".cpp",
			},
			files: map[string]string{"sdk/c/uniflow.h": "", "sdk/cpp/uniflow.hpp": ""},
		},
		"rust": {
			title: "Rust", where: " in src/lib.rs", needs: "Rust with the target wasm32-unknown-unknown",
			kit:    "The kit is the crate in `uniflow`, without dependencies.",
			output: "target/wasm32-unknown-unknown/release/" + placeIdent + ".wasm", ignore: []string{"/target/"},
			build: []string{"cargo", "build", "--quiet", "--release", "--target", "wasm32-unknown-unknown"},
			files: map[string]string{"sdk/rust/Cargo.toml": "uniflow", "sdk/rust/README.md": "uniflow", "sdk/rust/src/*.rs": "uniflow/src"},
		},
		"zig": {
			title: "Zig", where: " in " + placeIdent + ".zig", needs: "Zig 0.15",
			kit:    "The kit is the one file `uniflow.zig`.",
			ignore: []string{"/.zig-cache/"},
			build: []string{
				"zig", "build-exe", placeIdent + ".zig", "-target", "wasm32-freestanding", "-O", "ReleaseSmall", "-fstrip", "-fno-entry", "-rdynamic",
				"--stack", "65536", "-femit-bin=" + placeName + ".wasm",
			},
			files: map[string]string{"sdk/zig/uniflow.zig": ""},
		},
		"nim": {
			title: "Nim", where: " in " + placeIdent + ".nim", needs: "Nim 1.6 or newer, clang, lld and wasi-libc",
			kit:    "The kit is `uniflow.nim`, and `nim.cfg` says how a module is built.",
			ignore: []string{"/nimcache/"},
			build:  []string{"nim", "c", "--verbosity:0", "--nimcache:nimcache", "-o:" + placeName + ".wasm", placeIdent + ".nim"},
			files:  map[string]string{"sdk/nim/uniflow.nim": "", "sdk/nim/nim.cfg": ""},
		},
		"assemblyscript": {
			title: "AssemblyScript", where: " in " + placeIdent + ".ts", needs: "Node.js 20 or newer, and `npm install` once",
			kit:    "The kit is the one file `uniflow.ts`.",
			ignore: []string{"/node_modules/"},
			build:  []string{"npm", "run", "--silent", "build"},
			files:  map[string]string{"sdk/assemblyscript/uniflow.ts": ""},
		},
		"typescript": {
			title: "TypeScript", where: " in " + placeIdent + ".ts", needs: "Node.js 20 or newer, and `npm install` once",
			kit:    "The engine, `javascript.wasm`, is a plugin of its own that executes all scripts; put it beside the manifest.",
			script: placeIdent + ".js", engine: "javascript", ignore: []string{"/node_modules/", "/" + placeIdent + ".js"},
			build: []string{"npm", "run", "--silent", "build"},
			files: map[string]string{"sdk/javascript/uniflow.d.ts": ""},
		},
		"python": {
			title: "Python", where: " in " + placeIdent + ".py", needs: "nothing: the engine executes the source",
			kit:    "The engine, `python.wasm`, is a plugin of its own that executes all scripts; put it beside the manifest.",
			script: placeIdent + ".py", engine: "python", ignore: []string{"__pycache__/"},
		},
		"javascript": {
			title: "JavaScript", where: " in " + placeIdent + ".js", needs: "nothing: the engine executes the source",
			kit:    "The engine, `javascript.wasm`, is a plugin of its own that executes all scripts; put it beside the manifest.",
			script: placeIdent + ".js", engine: "javascript",
			files: map[string]string{"sdk/javascript/uniflow.d.ts": ""},
		},
	}
}

// Languages are the words that NewPlugin.Language may be.
func Languages() []string { return slices.Sorted(maps.Keys(languages())) }

// EngineOf is the file of the engine that executes plugins in a language; empty where they are compiled.
func EngineOf(language string) string {
	if engine := languages()[language].engine; engine != "" {
		return engine + ".wasm"
	}
	return ""
}

// NewPlugin says what StartPlugin begins.
type NewPlugin struct {
	// Name of the plugin: lower case letters, digits, - and _.
	Name string
	// Language is one of Languages.
	Language string
	// Dir is the folder. Defaults to the name.
	Dir string
	// Engine is the module that executes a script, which is copied. Defaults to none: it must be put beside the manifest.
	Engine string
}

var pluginName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)

// StartPlugin begins a plugin in a folder, which is made where it is not there, and returns the files that it wrote, the
// manifest first. If any of them is there already, none is written.
func StartPlugin(n NewPlugin) ([]string, error) {
	lang, ok := languages()[n.Language]
	if !ok {
		hint := "the languages are " + strings.Join(Languages(), ", ")
		if near := nearest(n.Language, Languages()); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, &flow.Error{Code: flow.CodeInput, Op: fmt.Sprintf("--lang %.80s", n.Language), Message: "there is no template for it", Hint: hint}
	}
	if !pluginName.MatchString(n.Name) {
		return nil, &flow.Error{Code: flow.CodeInput, Op: fmt.Sprintf("begin plugin %.80q", n.Name), Message: "a name has lower case letters, digits, - and _, and begins with a letter", Hint: "uniflow plugin new greet --lang " + n.Language}
	}
	if n.Dir == "" {
		n.Dir = n.Name
	}
	files, err := n.files(&lang)
	if err != nil {
		return nil, err
	}
	names := slices.SortedFunc(maps.Keys(files), func(a, b string) int { // the manifest first
		if (a == ManifestName) != (b == ManifestName) {
			return map[bool]int{true: -1, false: 1}[a == ManifestName]
		}
		return strings.Compare(a, b)
	})
	return writeNew(n.Dir, names, files)
}

// writeNew writes files none of which may be there, and returns their paths.
func writeNew(dir string, names []string, files map[string][]byte) ([]string, error) {
	var taken, paths []string
	for _, name := range names {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Lstat(p); err == nil {
			taken = append(taken, name)
		}
		paths = append(paths, p)
	}
	if len(taken) > 0 {
		return nil, &flow.Error{Code: flow.CodeWouldOverwrite, Op: "begin a plugin in " + dir, Message: "there is already: " + strings.Join(taken, ", "), Hint: "choose another folder: --dir FOLDER"}
	}
	for i, p := range paths {
		if err := create(p, files[names[i]]); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// files are those of a new plugin by their path in its folder.
func (n *NewPlugin) files(lang *language) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, from := range []string{"all", n.Language} {
		if err := n.fill(path.Join("templates", from), lang, out); err != nil {
			return nil, err
		}
	}
	for pattern, to := range lang.files {
		if err := kitFiles(pattern, to, out); err != nil {
			return nil, err
		}
	}
	doc, err := schema.Of(schema.Manifest)
	if err != nil {
		return nil, err
	}
	out[SchemaName] = doc
	if n.Engine != "" && lang.engine != "" {
		engine, err := readPlugin(n.Engine)
		if err == nil {
			_, err = wasm.Inspect(engine)
		}
		if err != nil {
			return nil, err
		}
		out[lang.engine+".wasm"] = engine
	}
	return out, nil
}

// fill adds the templates of a folder with their places filled in.
func (n *NewPlugin) fill(dir string, lang *language, out map[string][]byte) error {
	places := lang.places(n.Name)
	return fs.WalkDir(templates, dir, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return fs.SkipAll
		}
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		to := places.Replace(strings.TrimSuffix(strings.TrimPrefix(name, dir+"/"), ".tmpl"))
		if to == "gitignore" {
			to = ".gitignore"
		}
		out[to] = []byte(places.Replace(string(body)))
		return nil
	})
}

// places are what stands in templates, and what it becomes.
func (l *language) places(name string) *strings.Replacer {
	inner := strings.NewReplacer(placeName, name, placeIdent, strings.ReplaceAll(name, "-", "_"))
	ignored := append([]string{"/*.wasm"}, l.ignore...)
	return strings.NewReplacer(
		placeName, name, placeIdent, strings.ReplaceAll(name, "-", "_"),
		"__TITLE__", l.title, "__WHERE__", inner.Replace(l.where), "__NEEDS__", l.needs, "__KIT__", inner.Replace(l.kit),
		"__REQUIRE_INDIRECT__", requirements(" // indirect"), "__REQUIRE__", requirements(""),
		"__IGNORE__", inner.Replace(strings.Join(ignored, "\n")), "__PLUGIN__", inner.Replace(l.plugin()),
	)
}

// processModules are the modules whose packages the kit for processes imports, directly or not.
func processModules() []string {
	return []string{
		"github.com/fatih/color", "github.com/golang/protobuf", "github.com/hashicorp/go-hclog", "github.com/hashicorp/go-plugin",
		"github.com/hashicorp/yamux", "github.com/mattn/go-colorable", "github.com/mattn/go-isatty", "github.com/oklog/run",
		"golang.org/x/net", "golang.org/x/sys", "golang.org/x/text", "google.golang.org/genproto/googleapis/rpc",
		"google.golang.org/grpc", "google.golang.org/protobuf",
	}
}

// requirements are these modules in the versions of this project's own go.mod.
func requirements(mark string) string {
	own, err := fs.ReadFile(kits.Files(), "go.mod")
	if err != nil { // cannot be: the file is part of the program
		return ""
	}
	var out []string
	for line := range strings.Lines(string(own)) {
		if words := strings.Fields(strings.TrimPrefix(line, "require ")); len(words) >= 2 && slices.Contains(processModules(), words[0]) {
			out = append(out, "\t"+words[0]+" "+words[1]+mark)
		}
	}
	return strings.Join(out, "\n")
}

// plugin are the tables of the manifest for the plugin.
func (l *language) plugin() string {
	if l.engine != "" {
		build := ""
		if len(l.build) > 0 {
			build = "\nbuild   = " + quotedList(l.build)
		}
		return fmt.Sprintf("[plugins.%s]\nscript  = %q\nengine  = %q%s\n\n[plugins.%s]\nwasm    = %q", placeName, l.script, l.engine, build, l.engine, l.engine+".wasm")
	}
	output := l.output
	if output == "" {
		output = placeName + ".wasm"
	}
	kind := "wasm"
	if !strings.HasSuffix(output, ".wasm") {
		kind = "process"
	}
	return fmt.Sprintf("[plugins.%s]\n%-7s = %q\nbuild   = %s", placeName, kind, output, quotedList(l.build))
}

// kitFiles adds the files of a kit, without its tests.
func kitFiles(pattern, to string, out map[string][]byte) error {
	found, err := fs.Glob(kits.Files(), pattern)
	if err != nil || len(found) == 0 {
		return fmt.Errorf("the kit %s is not part of this program", pattern)
	}
	for _, name := range found {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		body, err := fs.ReadFile(kits.Files(), name)
		if err != nil {
			return err
		}
		out[path.Join(to, path.Base(name))] = body
	}
	return nil
}

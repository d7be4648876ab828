package arch

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// example is a small module that breaks one rule, or shows where it ends.
type example struct {
	name  string
	check func(*Tree) []Finding
	files map[string]string
	want  []string // one part of each finding; none: the rule holds
}

func (e example) run(t *testing.T) {
	t.Helper()
	t.Parallel()
	tree := &Tree{Paths: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(e.files)) {
		tree.Paths[name] = true
		if err := tree.Add(name, []byte(e.files[name])); err != nil {
			t.Fatal(err)
		}
	}
	found := e.check(tree)
	if len(found) != len(e.want) {
		t.Fatalf("got %d findings, want %d:\n%v", len(found), len(e.want), found)
	}
	for i, finding := range found {
		if !strings.Contains(finding.String(), e.want[i]) {
			t.Errorf("finding %q does not say %q", finding, e.want[i])
		}
	}
}

func one(name, body string) map[string]string { return map[string]string{name: body} }

func imports(folder, path string) map[string]string {
	return one(folder+"/x.go", "package x\nimport _ \""+path+"\"\n")
}

func testImports(folder, path string) map[string]string {
	return one(folder+"/x_test.go", "package x_test\nimport _ \""+path+"\"\n")
}

func TestImportRuleFindsWhatTheTableForbids(t *testing.T) {
	t.Parallel()
	examples := []example{
		{name: "standard library", files: imports("host/flow", "encoding/json")},
		{name: "allowed project import", files: imports("host/internal/run", Module+"/host/flow")},
		{name: "allowed library below its prefix", files: imports("host/internal/wasm", "github.com/tetratelabs/wazero/api")},
		{name: "subtree", files: imports("host", Module+"/host/internal/wasm/binary")},
		{name: "flow imports the project", files: imports("host/flow", Module+"/sdk/abi"), want: []string{"x.go:2: imports"}},
		{name: "cmd reaches into host", files: imports("cmd/uniflow", Module+"/host/internal/run"), want: []string{"must never import"}},
		{name: "tests of cmd as well", files: testImports("cmd/uniflow", Module+"/host/internal/run"), want: []string{"must never import"}},
		{name: "runner imports an adapter", files: imports("host/internal/run", Module+"/host/internal/wasm"), want: []string{"the runner knows seams"}},
		{name: "calendar imports gocron", files: imports("host/internal/calendar", "github.com/go-co-op/gocron/v2"), want: []string{"must never import"}},
		{name: "a second package imports wazero", files: imports("host", "github.com/tetratelabs/wazero"), want: []string{"host may import"}},
		{name: "a name that only begins alike", files: imports("host/internal/wasm", "github.com/tetratelabs/wazeroo"), want: []string{"may import"}},
		{name: "unknown library", files: imports("host", "example.com/left-pad"), want: []string{"example.com/left-pad"}},
		{name: "new package", files: imports("host/internal/novel", "fmt"), want: []string{"add a row"}},
		{name: "new package outside host", files: imports("internal/novel", "fmt"), want: []string{"add a row"}},
		{name: "plugin imports host", files: imports("plugins/http", Module+"/host/flow"), want: []string{"must never import"}},
		{name: "suite in a test", files: testImports("host/internal/wasm", Module+"/host/internal/plugintest")},
		{name: "suite in shipped code", files: imports("host/internal/wasm", Module+"/host/internal/plugintest"), want: []string{"imports"}},
		{name: "own package in an external test", files: testImports("host/internal/plan", Module+"/host/internal/plan")},
		{name: "testscript in a test", files: testImports("cmd/uniflow", "github.com/rogpeppe/go-internal/testscript")},
		{name: "testscript in shipped code", files: imports("cmd/uniflow", "github.com/rogpeppe/go-internal/testscript"), want: []string{"imports"}},
		{name: "code under testdata is data", files: imports("host/internal/wasm/testdata/guest", "example.com/any")},
	}
	for _, e := range examples {
		e.check = CheckImports
		t.Run(e.name, e.run)
	}
}

func TestLibraryRuleFindsSecondOwnersAndStrangers(t *testing.T) {
	t.Parallel()
	rows := []Row{
		{Folder: "a", Libs: []string{"example.com/twice", "golang.org/x/sync"}},
		{Folder: "b", Libs: []string{"example.com/twice", "golang.org/x/sync"}},
	}
	gomod := "module m\n\ngo 1.26.0\n\nrequire (\n\texample.com/twice/v2 v2.0.0\n\texample.com/stranger v1.0.0\n\texample.com/far v1.0.0 // indirect\n)\n"
	found := CheckLibraries(rows, gomod)
	if len(found) != 2 || !strings.Contains(found[0].What, "a, b") || !strings.Contains(found[1].What, "stranger") {
		t.Fatalf("got %v, want the second owner of twice and the stranger", found)
	}
}

func TestCommentRulesFindSilentPackagesAndNames(t *testing.T) {
	t.Parallel()
	examples := []example{
		{name: "package comment", check: CheckPackageComments, files: one("a/a.go", "// Package a owns a.\npackage a\n")},
		{name: "no package comment", check: CheckPackageComments, files: one("a/a.go", "package a\n"), want: []string{"package comment"}},
		{name: "a directive is no comment", check: CheckPackageComments, files: one("a/a.go", "//go:build linux\n\npackage a\n"), want: []string{"package comment"}},
		{name: "exported function", check: CheckDocs, files: one("a/a.go", "package a\nfunc Do() {}\n"), want: []string{"a.go:2: Do is exported"}},
		{name: "exported method", check: CheckDocs, files: one("a/a.go", "package a\n// T is.\ntype T[V any] struct{}\nfunc (*T[V]) Do() {}\n"), want: []string{"Do is exported"}},
		{name: "exported type", check: CheckDocs, files: one("a/a.go", "package a\ntype T struct{}\n"), want: []string{"T is exported"}},
		{name: "types of a group speak for themselves", check: CheckDocs, files: one("a/a.go", "package a\n// Group.\ntype (\n\tA int\n\tB int\n)\n"), want: []string{"A is", "B is"}},
		{name: "exported constant", check: CheckDocs, files: one("a/a.go", "package a\nconst A, b = 1, 2\n"), want: []string{"A is"}},
		{name: "group of constants", check: CheckDocs, files: one("a/a.go", "package a\n// Limits.\nconst (\n\tA = 1\n\tB = 2\n)\n")},
		{name: "values of a type", check: CheckDocs, files: one("a/a.go", "package a\n// T is.\ntype T int\nconst (\n\tA T = iota\n\tB\n\tC = 7\n)\n"), want: []string{"C is"}},
		{name: "values of a basic type", check: CheckDocs, files: one("a/a.go", "package a\nconst A string = \"a\"\n"), want: []string{"A is"}},
		{name: "hidden names", check: CheckDocs, files: one("a/a.go", "package a\nfunc do() {}\ntype t int\nfunc (t) Do() {}\nvar x int\n")},
		{name: "commands export nothing", check: CheckDocs, files: one("a/a.go", "package main\nfunc Do() {}\n")},
		{name: "generated code", check: CheckDocs, files: one("a/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage a\nfunc Do() {}\n")},
	}
	for _, e := range examples {
		t.Run(e.name, e.run)
	}
}

// function is a function of the given number of lines.
func function(name string, lines int) string {
	return "func " + name + "() {\n" + strings.Repeat("\tcall()\n", lines-2) + "}\n"
}

func TestSizeRulesFindLongCode(t *testing.T) {
	t.Parallel()
	table := "func table() {\n\t_ = []int{\n" + strings.Repeat("\t\t1,\n", 100) + "\t}\n}\n"
	call := "func call() {\n\t_ = T{\n" + strings.Repeat("\t\t1,\n", 100) + "\t}\n}\n"
	many := func(lines int) string {
		return "package a\n" + strings.Repeat(function("f", lines), enoughFuncs)
	}
	files := map[string]string{}
	for i := range enoughFiles {
		files["a/"+strings.Repeat("x", i+1)+".go"] = "package a\n" + strings.Repeat("\n", mostFiles)
	}
	examples := []example{
		{name: "longest function", check: CheckMaxima, files: one("a/a.go", "package a\n"+function("f", maxFunc))},
		{name: "too long a function", check: CheckMaxima, files: one("a/a.go", "package a\n"+function("f", maxFunc+1)), want: []string{"a.go:2: f has 81 lines"}},
		{name: "tables do not count", check: CheckMaxima, files: one("a/a.go", "package a\n"+table)},
		{name: "other literals do", check: CheckMaxima, files: one("a/a.go", "package a\n"+call), want: []string{"call has"}},
		{name: "tests are exempt", check: CheckMaxima, files: one("a/a_test.go", "package a\n"+function("f", maxFunc+1))},
		{name: "longest file", check: CheckMaxima, files: one("a/a.go", "package a\n"+strings.Repeat("\n", maxFile-1))},
		{name: "too long a file", check: CheckMaxima, files: one("a/a.go", "package a\n"+strings.Repeat("\n", maxFile)), want: []string{"601 lines"}},
		{name: "short functions", check: CheckShares, files: one("a/a.go", many(medianFunc))},
		{name: "median", check: CheckShares, files: one("a/a.go", many(medianFunc+1)), want: []string{"median function is 12"}},
		{name: "ninetieth", check: CheckShares, files: one("a/a.go", many(3)+strings.Repeat(function("g", mostFuncs+1), enoughFuncs/4)), want: []string{"90th percentile of functions is 41"}},
		{name: "files", check: CheckShares, files: files, want: []string{"90th percentile of files is 401"}},
		{name: "too few to tell", check: CheckShares, files: one("a/a.go", "package a\n"+function("f", 50))},
	}
	for _, e := range examples {
		t.Run(e.name, e.run)
	}
}

func TestNameAndConstructRulesFindWhatIsOut(t *testing.T) {
	t.Parallel()
	examples := []example{
		{name: "folder", check: CheckNames, files: one("host/util/a.go", "package strs\n"), want: []string{`"util"`}},
		{name: "parent folder", check: CheckNames, files: one("pkg/a/a.go", "package a\n"), want: []string{`"pkg"`}},
		{name: "package", check: CheckNames, files: one("a/a_test.go", "package helper_test\n"), want: []string{`"helper"`}},
		{name: "part of a word", check: CheckNames, files: one("basement/a.go", "package basement\n")},
		{name: "empty interface", check: CheckConstructs, files: one("a/a.go", "package a\nvar x interface{}\n"), want: []string{"use any"}},
		{name: "any and real interfaces", check: CheckConstructs, files: one("a/a.go", "package a\nvar x any\ntype R interface{ Read() }\nfunc f[T ~int]() {}\n")},
		{name: "init", check: CheckConstructs, files: one("a/a_test.go", "package a\nfunc init() {}\n"), want: []string{"init function"}},
		{name: "method named init", check: CheckConstructs, files: one("a/a.go", "package a\ntype t int\nfunc (t) init() {}\n")},
		{name: "old random", check: CheckConstructs, files: imports("a", "math/rand"), want: []string{"math/rand/v2"}},
		{name: "new random", check: CheckConstructs, files: imports("a", "math/rand/v2")},
		{name: "cgo", check: CheckConstructs, files: imports("a", "C"), want: []string{"cgo is off"}},
	}
	for _, e := range examples {
		t.Run(e.name, e.run)
	}
}

func TestWordRuleFindsMachinesAndRegistries(t *testing.T) {
	t.Parallel()
	slash := "/" // so that this file does not break its own rule
	bad := []string{
		"see " + slash + "work/main", `open("` + slash + `tmp/x")`, slash + "root/go", "cd " + slash + "home/ann/src", slash + "Users/ann/x",
		"from proxy" + ".golang.org", "registry" + ".npmjs.org", "GOPROXY" + "=off",
	}
	good := []string{"docs" + slash + "work/plan.md", "https://example.com/tmp/x", "/data", "/tmpl", "the root / of it", "host" + slash + "work/x"}
	for _, line := range bad {
		t.Run(line, example{check: CheckWords, files: one("a.md", "fine\n"+line+"\n"), want: []string{"a.md:2: says"}}.run)
	}
	for _, line := range good {
		t.Run(line, example{check: CheckWords, files: one("a.md", line+"\n")}.run)
	}
}

func TestLinkRuleFindsLinksToNowhere(t *testing.T) {
	t.Parallel()
	good := "[a](../b.md#part) [here](#part) [web](https://example.com/x) `f[x](y)`\n```go\nf[x](y)\n```\n"
	examples := []example{
		{name: "links that lead somewhere", files: map[string]string{"docs/a.md": good, "b.md": ""}},
		{name: "link to nowhere", files: one("docs/a.md", good), want: []string{"links to b.md"}},
		{name: "code is no document", files: one("docs/a.go", "package a\n// [a](b.md)\n")},
	}
	for _, e := range examples {
		e.check = CheckLinks
		t.Run(e.name, e.run)
	}
}

func TestContractRuleFindsEitherSideMissing(t *testing.T) {
	t.Parallel()
	source := `package abi
import "time"
type Errno int32
const (
	OK Errno = 0
	TooLarge Errno = 3
)
const MaxWait = 24 * time.Hour
const ImportOutput = "output"
const ExitRetry uint32 = 75
`
	doc := "## Functions of the module `uniflow`\n| function | type |\n|---|---|\n| `output` | x |\n" +
		"## Error numbers\n| number | name |\n|---|---|\n| 3 | `too_large` |\n" +
		"## Exit codes\n| code | meaning |\n|---|---|\n| 75 | retry |\n| any other | failed |\n"
	both := func(doc string) map[string]string {
		return map[string]string{"sdk/abi/abi.go": source, "docs/ABI.md": doc}
	}
	examples := []example{
		{name: "agree", files: both(doc)},
		{name: "no document", files: one("sdk/abi/abi.go", source), want: []string{"one is missing"}},
		{name: "no package", files: one("docs/ABI.md", doc), want: []string{"one is missing"}},
		{name: "wrong errno", files: both(strings.Replace(doc, "| 3 |", "| 4 |", 1)), want: []string{`lacks a row for "3 too_large"`, `has a row for "4 too_large"`}},
		{name: "wrong function", files: both(strings.Replace(doc, "`output`", "`emit`", 1)), want: []string{"output", "emit"}},
		{name: "wrong exit code", files: both(strings.Replace(doc, "| 75 |", "| 76 |", 1)), want: []string{"75", "76"}},
		{name: "heading renamed", files: both(strings.Replace(doc, "Exit codes", "Codes", 1)), want: []string{`"Exit codes" lacks`}},
	}
	for _, e := range examples {
		e.check = CheckContract
		t.Run(e.name, e.run)
	}
}

// TestEveryRuleIsProvedByAnExample keeps a new rule from being one that
// cannot fail: the module below breaks all of them.
func TestEveryRuleIsProvedByAnExample(t *testing.T) {
	t.Parallel()
	tree := &Tree{}
	body := "package util\nimport _ \"example.com/x\"\nvar Exported interface{}\n// cd /" + "work/main\n" +
		strings.Repeat(function("f", maxFunc+1), enoughFuncs)
	if err := tree.Add("a.md", []byte("[a](nowhere.md)")); err != nil {
		t.Fatal(err)
	}
	if err := tree.Add("util/a.go", []byte(body)); err != nil {
		t.Fatal(err)
	}
	for _, rule := range Rules() {
		if len(rule.Check(tree)) == 0 {
			t.Errorf("rule %q holds for a module that breaks every rule", rule.Name)
		}
	}
}

func TestLoadSkipsWhatIsNotTheModule(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for _, name := range []string{
		"go.mod", "a/a.go", "a/testdata/b.go", "bench/go.mod", "bench/b.go",
		".git/c.go", "data/d.go", ".ci/run", "a/image.png",
	} {
		files[name] = &fstest.MapFile{Data: []byte("package p\n")}
	}
	tree, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Files) != 1 || tree.Files[0].Path != "a/a.go" {
		t.Errorf("got %d Go files, want a/a.go alone", len(tree.Files))
	}
	var texts []string
	for _, text := range tree.Texts {
		texts = append(texts, text.Path)
	}
	if want := []string{".ci/run", "a/a.go", "a/testdata/b.go", "go.mod"}; !slices.Equal(texts, want) {
		t.Errorf("got texts %v, want %v", texts, want)
	}
	if err := tree.Add("a/broken.go", []byte("package")); err == nil {
		t.Error("a file that does not parse must be an error")
	}
}

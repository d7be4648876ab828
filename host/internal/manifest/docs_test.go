package manifest

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// TestReferenceNamesEveryKey compares docs/MANIFEST.md with the types of package flow: each table has a section, whose
// rows are the keys of the type, all of them and no other.
func TestReferenceNamesEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "MANIFEST.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, part := range regexp.MustCompile(`(?m)^##+ `).Split(string(text), -1) {
		title, body, _ := strings.Cut(part, "\n")
		sections[strings.Trim(title, "`")] = body
	}
	documented := map[reflect.Type]bool{}
	for section, table := range map[string]any{
		"Top level": flow.Manifest{}, "[host]": flow.HostSettings{}, "tls": flow.TLS{}, "[defaults]": flow.Defaults{}, "catchup": flow.Catchup{},
		"retry": flow.Retry{}, "timeout": flow.Timeout{}, "limits": flow.Limits{}, "keep": flow.Keep{}, "[alerts.NAME]": flow.Alert{},
		"[plugins.NAME]": flow.Plugin{}, "grant": flow.Grant{}, "[plugins.NAME.secrets.SECRET]": flow.SecretBinding{},
		"[pipelines.NAME]": flow.Pipeline{}, "expect": flow.Expect{}, "[pipelines.NAME.params.KEY]": flow.Param{},
		"[pipelines.NAME.steps.STEP]": flow.Step{}, "[schedules.NAME]": flow.Schedule{}, "[tenants.NAME]": flow.Tenant{},
		"[tenants.NAME.ceiling]": flow.Ceiling{}, "[tenants.NAME.quota]": flow.Quota{},
	} {
		documented[reflect.TypeOf(table)] = true
		compareKeys(t, section, sections[section], fieldsOf(reflect.TypeOf(table)))
	}
	if !strings.Contains(sections["[alerts.NAME]"], "`secret`") {
		t.Error("the secret of an alert's url is not described")
	}
	everyTable(reflect.TypeFor[flow.Manifest](), func(table reflect.Type) {
		if !documented[table] && table != typeSecretText {
			t.Errorf("%s has no section", table)
		}
	})
}

func compareKeys(t *testing.T, section, body string, keys map[string]int) {
	t.Helper()
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(body, -1) {
		rows[row[1]] = true
		if _, ok := keys[row[1]]; !ok {
			t.Errorf("%s describes %s, which does not exist", section, row[1])
		}
	}
	for key := range keys {
		if !rows[key] {
			t.Errorf("%s lacks %s", section, key)
		}
	}
}

// everyTable visits the types of all tables inside t.
func everyTable(t reflect.Type, visit func(reflect.Type)) {
	switch t.Kind() {
	case reflect.Map, reflect.Pointer:
		everyTable(t.Elem(), visit)
	case reflect.Struct:
		if t == typeBackoff {
			return // written as a string
		}
		visit(t)
		for _, i := range fieldsOf(t) {
			everyTable(t.Field(i).Type, visit)
		}
	}
}

// TestRulesNameKeysThatExist guards the table of rules, which refers to types and keys by text.
func TestRulesNameKeysThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	everyTable(reflect.TypeFor[flow.Manifest](), func(table reflect.Type) {
		for key := range fieldsOf(table) {
			known[table.Name()+"."+key] = true
		}
	})
	for name := range rules() {
		if !known[name] {
			t.Errorf("a rule is for %s, which does not exist", name)
		}
	}
}

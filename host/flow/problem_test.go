package flow

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
)

func TestProblemAsText(t *testing.T) {
	t.Parallel()
	p := Problem{
		Code: "UF1204", Message: `step "clean" uses an unknown plugin "clean_order"`, Note: "not declared under [plugins]",
		Help: `did you mean "clean-orders"?`, File: "uniflow.toml", Line: 14, Column: 8, EndColumn: 21, Source: "plugin\t= \"clean_order\"",
	}
	want := `error[UF1204]: step "clean" uses an unknown plugin "clean_order"
  --> uniflow.toml:14:8
    |
 14 | plugin	= "clean_order"
    |       	^^^^^^^^^^^^^ not declared under [plugins]
   = help: did you mean "clean-orders"?
   = more: uniflow explain UF1204`
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	far := Problem{Code: "UF1001", Severity: SeverityWarning, Message: "m", Note: "n", File: "f", Source: "x", Line: 1, Column: 9}
	if got := far.String(); got == "" {
		t.Error("a column beyond the line is not shown")
	}
	whole := Problem{Code: "UF1001", Message: "m", Note: "n", File: "f"}
	if got, want := whole.String(), "error[UF1001]: m\n  --> f\n   = note: n\n   = more: uniflow explain UF1001"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProblemsSortAndFilter(t *testing.T) {
	t.Parallel()
	ps := Problems{{Code: "B", Line: 2}, {Code: "A", Line: 1, Column: 5, Severity: SeverityWarning}, {Code: "C", Line: 1, Column: 2}}
	ps.Sort()
	if ps[0].Code != "C" || ps[1].Code != "A" || ps[2].Code != "B" {
		t.Errorf("got %v", ps)
	}
	if got := ps.Errors(); len(got) != 2 || len(ps) != 3 {
		t.Errorf("got %v of %v", got, ps)
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := fmt.Errorf("outer: %w", &Error{Code: CodeData, Op: "open", Message: "no", Err: cause})
	if CodeOf(err) != CodeData || !errors.Is(err, cause) || err.Error() != "outer: open: no: cause" {
		t.Errorf("got %q, %v", CodeOf(err), err)
	}
	if got := CodeOf(fmt.Errorf("x: %w", Problems{{Code: "UF1001"}})); got != "UF1001" {
		t.Errorf("got %q", got)
	}
	if got := CodeOf(cause); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^UF[1-6]\d{3}$`)
	seen := map[Code]bool{}
	for _, e := range Explanations() {
		if !form.MatchString(string(e.Code)) || seen[e.Code] {
			t.Errorf("%s: not a code, or twice", e.Code)
		}
		seen[e.Code] = true
		if len(e.Title) < 5 || len(e.Text) < 60 {
			t.Errorf("%s: the explanation is too short to help", e.Code)
		}
	}
	for code := range codeConstants(t) {
		if !seen[Code(code)] {
			t.Errorf("%s has no explanation", code)
		}
	}
	if e, ok := Explain("uf5101"); !ok || e.Code != CodeStopping {
		t.Error("a code in lower case is not found")
	}
	if _, ok := Explain("UF9999"); ok {
		t.Error("an unknown code is explained")
	}
}

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// TestEveryReasonIsDocumented compares the table of docs/RUNS.md with the reasons of package flow, and with which of them are
// tried again.
func TestEveryReasonIsDocumented(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(root, "host", "flow", "run.go"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "RUNS.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[flow.Reason]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_`, ]+`) \\|[^|]*\\| ?([^|]*?) ?\\|$").FindAllStringSubmatch(string(text), -1) {
		for _, reason := range regexp.MustCompile("[a-z_]+").FindAllString(row[1], -1) {
			documented[flow.Reason(reason)] = row[2]
		}
	}
	reasons := regexp.MustCompile(`(?m)^\tReason\w+ +Reason = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	for _, hit := range reasons {
		reason := flow.Reason(hit[1])
		retry, ok := documented[reason]
		delete(documented, reason)
		if !ok {
			t.Errorf("docs/RUNS.md does not have the reason %q", reason)
		}
		if retry == "yes" && !reason.Retryable() || retry == "no" && reason.Retryable() {
			t.Errorf("docs/RUNS.md says %q of a retry after %q", retry, reason)
		}
	}
	if len(reasons) < 20 || len(documented) > 0 {
		t.Errorf("%d reasons; documented beyond them: %v", len(reasons), documented)
	}
}

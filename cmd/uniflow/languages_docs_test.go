//go:build languages

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Promise (issue 5): the plugin of each page on a language, and of the README of each kit, is built, tested and run as the
// page says. What is missing fails: a skip would look like a pass.
func TestLanguageDocuments(t *testing.T) {
	t.Parallel()
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for _, d := range documents(t) {
		if !d.needsToolchains() || d.commands() == 0 {
			continue
		}
		followed++
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t)
			r.path = []string{languagesPath(top, os.Getenv("PATH"))}
			r.follow(&d)
		})
	}
	if followed < 10 {
		t.Errorf("only %d documents were followed", followed)
	}
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	coded := func(code flow.Code) error { return fmt.Errorf("run hello: %w", &flow.Error{Code: code}) }
	found := func(codes ...flow.Code) error {
		var all flow.Problems
		for _, c := range codes {
			all = append(all, flow.Problem{Code: c, Severity: flow.SeverityError})
		}
		return all
	}
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"nothing":               {nil, 0},
		"run failed":            {coded(flow.CodeRunFailed), 1},
		"wait over":             {coded(flow.CodeWaitOver), 1},
		"usage":                 {coded(flow.CodeUsage), 2},
		"input":                 {coded(flow.CodeInput), 2},
		"context":               {coded(flow.CodeContext), 2},
		"not found":             {coded(flow.CodeNotFound), 2},
		"request":               {coded(flow.CodeRequest), 2},
		"manifest":              {found(flow.CodeUnknownKey), 2},
		"manifest and plugin":   {found(flow.CodePluginMissing, flow.CodeUnknownKey), 2},
		"plugin missing":        {found(flow.CodePluginMissing), 3},
		"plugin imports":        {coded(flow.CodeImports), 3},
		"plugin not pinned":     {coded(flow.CodeNotLocked), 3},
		"mount":                 {coded(flow.CodeMount), 4},
		"unauthorized":          {coded(flow.CodeUnauthorized), 4},
		"needs token":           {coded(flow.CodeNeedsToken), 4},
		"unreachable":           {coded(flow.CodeUnreachable), 5},
		"exists":                {coded(flow.CodeExists), 6},
		"ended":                 {coded(flow.CodeRunEnded), 6},
		"written":               {coded(flow.CodeWritten), 6},
		"busy":                  {coded(flow.CodeRefused), 6},
		"rerun":                 {coded(flow.CodeRerun), 6},
		"match":                 {coded(flow.CodeMatch), 6},
		"backfill":              {coded(flow.CodeBackfill), 2},
		"stopping":              {coded(flow.CodeStopping), 6},
		"locked":                {coded(flow.CodeLedgerLocked), 6},
		"full disk":             {coded(flow.CodeLedgerFull), 8},
		"address":               {coded(flow.CodeListen), 6},
		"overwrite":             {coded(flow.CodeWouldOverwrite), 6},
		"changes":               {ended{exitChanges}, 7},
		"data":                  {coded(flow.CodeData), 8},
		"no code":               {fs.ErrPermission, 8},
		"interrupted":           {fmt.Errorf("wait: %w", errInterrupted), 130},
		"interrupted, by code":  {coded(flow.CodeInterrupted), 130},
		"joined with a closing": {errors.Join(coded(flow.CodeUnreachable), errors.New("close")), 5},
	} {
		if got := exitOf(c.err); got != c.want {
			t.Errorf("%s: exit %d, want %d", name, got, c.want)
		}
	}
}

func TestEveryCodeHasAnExit(t *testing.T) {
	t.Parallel()
	for _, e := range flow.Explanations() {
		if e.Code >= "UF5" && e.Code < "UF6" {
			if _, ok := exitCodes[e.Code]; !ok {
				t.Errorf("%s (%s) is in no row: which exit is it?", e.Code, e.Title)
			}
			continue
		}
		if got := exitOfCode(e.Code); got == exitInternal {
			t.Errorf("%s (%s): its area has no exit", e.Code, e.Title)
		}
	}
}

package main

import (
	"errors"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Exit codes; they are part of the command line's contract.
const (
	exitOK          = 0
	exitRun         = 1   // a run, or what was asked to be judged, failed
	exitUsage       = 2   // the command line or the manifest has mistakes
	exitPlugin      = 3   // a plugin cannot be loaded
	exitDenied      = 4   // a grant, token or permission is missing
	exitUnreachable = 5   // no host answers
	exitConflict    = 6   // what there is stands in the way
	exitChanges     = 7   // there are changes to review
	exitInternal    = 8   // a fault of uniflow or of the system
	exitInterrupted = 130 // a signal ended the command
)

// ended is an ending whose reason was already told.
type ended struct{ code int }

// Error is for programmers: nobody else sees it.
func (e ended) Error() string { return "ended" }

// exitCodes maps codes of errors to exit codes; what is not here is decided by the area of its code.
var exitCodes = map[flow.Code]int{
	flow.CodeRunFailed: exitRun,
	flow.CodeWaitOver:  exitRun,
	flow.CodeRefused:   exitConflict,
	flow.CodeRerun:     exitConflict,
	flow.CodeNotTaken:  exitRun,
	flow.CodeMatch:     exitConflict,

	flow.CodeLedgerLocked:    exitConflict,
	flow.CodeLedgerDamaged:   exitInternal,
	flow.CodeLedgerForeign:   exitConflict,
	flow.CodeLedgerNewer:     exitConflict,
	flow.CodeLedgerFull:      exitInternal,
	flow.CodeLedgerIO:        exitInternal,
	flow.CodeLedgerMissing:   exitUnreachable,
	flow.CodeArtifactDamaged: exitInternal,
	flow.CodeArtifactIO:      exitInternal,

	flow.CodeStopping:       exitConflict,
	flow.CodeRunEnded:       exitConflict,
	flow.CodeNotFound:       exitUsage,
	flow.CodeUnreachable:    exitUnreachable,
	flow.CodeNeedsToken:     exitDenied,
	flow.CodeListen:         exitConflict,
	flow.CodeWritten:        exitConflict,
	flow.CodeExists:         exitConflict,
	flow.CodeReviewed:       exitConflict,
	flow.CodeUnauthorized:   exitDenied,
	flow.CodeForbidden:      exitDenied,
	flow.CodeQuota:          exitConflict,
	flow.CodeRate:           exitConflict,
	flow.CodeTLS:            exitUsage,
	flow.CodeRequest:        exitUsage,
	flow.CodeReadOnly:       exitConflict,
	flow.CodeData:           exitInternal,
	flow.CodeSecret:         exitDenied,
	flow.CodeUsage:          exitUsage,
	flow.CodeWouldOverwrite: exitConflict,
	flow.CodeInput:          exitUsage,
	flow.CodeCutOff:         exitConflict,
	flow.CodeInterrupted:    exitInterrupted,
}

// exitOf returns the exit code for an error; nil is exitOK.
func exitOf(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[ended](err); ok {
		return e.code
	}
	if errors.Is(err, errInterrupted) {
		return exitInterrupted
	}
	if problems, ok := errors.AsType[flow.Problems](err); ok {
		return exitOfProblems(problems)
	}
	return exitOfCode(flow.CodeOf(err))
}

// exitOfProblems: plugins that cannot be loaded count only when the manifest has no mistake of its own.
func exitOfProblems(problems flow.Problems) int {
	for _, p := range problems.Errors() {
		if code := exitOfCode(p.Code); code != exitPlugin {
			return exitUsage
		}
	}
	return exitPlugin
}

func exitOfCode(code flow.Code) int {
	if exit, ok := exitCodes[code]; ok {
		return exit
	}
	if len(code) < 3 {
		return exitInternal
	}
	switch code[:3] {
	case "UF1", "UF6":
		return exitUsage
	case "UF2":
		return exitPlugin
	case "UF3":
		return exitRun
	case "UF4":
		return exitDenied
	}
	return exitInternal
}

package flow

// UF3xxx: runs.
const (
	// CodeRunFailed: a run did not succeed.
	CodeRunFailed Code = "UF3001"
	// CodeRefused: a run was not taken.
	CodeRefused Code = "UF3002"
)

func runCodes() []Explanation {
	return []Explanation{
		{CodeRunFailed, "The run did not succeed", "A step failed, a time limit was reached, or the run was cancelled; outcome and reason say which.\n\n`uniflow runs show RUN` shows every step and attempt, `uniflow runs logs RUN` what the plugins said. A step that may fail now and then can be given `retry = { attempts = 3 }`."},
		{CodeRefused, "The run was not taken", "A pipeline has one live run at a time; others wait in order. At most 1,000 wait, so that a mistake does not fill the ledger.\n\nWait for some to end, or cancel them: `uniflow runs list --state queued`."},
	}
}

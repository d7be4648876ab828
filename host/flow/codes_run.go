package flow

// UF3xxx: runs.
const (
	// CodeRunFailed: a run did not succeed.
	CodeRunFailed Code = "UF3001"
	// CodeRefused: a run was not taken.
	CodeRefused Code = "UF3002"
	// CodeRerun: a run cannot be run again as asked.
	CodeRerun Code = "UF3003"
	// CodeMatch: the runs that match are not as many as were confirmed, or too many.
	CodeMatch Code = "UF3004"
)

func runCodes() []Explanation {
	return []Explanation{
		{CodeRunFailed, "The run did not succeed", "A step failed, a time limit was reached, or the run was cancelled; outcome and reason say which.\n\n`uniflow runs show RUN` shows every step and attempt, `uniflow runs logs RUN` what the plugins said. A step that may fail now and then can be given `retry = { attempts = 3 }`."},
		{CodeRefused, "The run was not taken", "A pipeline has one live run at a time; others wait in order. At most 1,000 wait, so that a mistake does not fill the ledger.\n\nWait for some to end, or cancel them: `uniflow runs list --state queued`."},
		{CodeRerun, "The run cannot be run again like this", "A rerun executes some steps and reuses the recorded outputs of the others. Each of those must have outputs: a step that failed, that the run never came to, that has got or lost its `each`, or whose artifacts are gone has none. Nothing was started, since a run with invented inputs would be worse than none.\n\nThe message names the step. Execute it too, with `--from-step STEP` or `--failed`; or execute all steps, with `uniflow runs rerun RUN` alone. `uniflow runs show RUN` shows what there is."},
		{CodeMatch, "Other runs match than were confirmed", "What is done to all runs that match a filter is done to a number of them that somebody has seen. Meanwhile others have come or gone, or there are more than are taken at once: 1,000 reruns. Nothing was done.\n\nLook at them, without `--confirm`, and confirm their number. Runs that were rerun before do not match any more, so after an interruption the number is that of what is left."},
	}
}

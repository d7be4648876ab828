package flow

// UF5xxx: host, store and API.
const (
	// CodeStopping: a request came while the host was stopping.
	CodeStopping Code = "UF5101"
)

func hostCodes() []Explanation {
	return []Explanation{
		{CodeStopping, "The host is stopping", "The host was asked to stop: it lets live runs end within the drain time and takes no new ones.\n\nAsk again once the host is back; schedules catch up by themselves as their catchup setting says."},
	}
}

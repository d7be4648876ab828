package project

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strconv"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
)

// readCalendars reads the calendar files that lists of not_on name, each once; what they say is frozen with the plan.
func (p *Project) readCalendars(folder *supply.Folder) flow.Problems {
	p.Calendars = map[string][]string{}
	seen := map[string]bool{}
	var problems flow.Problems
	taken := int64(0)
	for _, list := range p.notOn() {
		for i, name := range list.items {
			if !plan.IsCalendar(name) || seen[name] {
				continue
			}
			seen[name] = true
			at := append(slices.Clone(list.at), strconv.Itoa(i))
			if taken += folder.Size(name); p.tenant != "" && taken > maxTakenCalendar {
				return append(problems, tooMuch(at, "the calendar files", maxTakenCalendar))
			}
			entries, err := readCalendar(folder, name)
			if err != nil {
				problems = append(problems, calendarProblem(err, at))
			}
			p.Calendars[name] = entries
		}
	}
	return problems
}

// notOnList is a list of not_on and its key.
type notOnList struct {
	at    []string
	items []string
}

// notOn returns all lists of the manifest.
func (p *Project) notOn() []notOnList {
	m := &p.document.Manifest
	all := []notOnList{{[]string{"defaults", "not_on"}, m.Defaults.NotOn}}
	for _, name := range slices.Sorted(maps.Keys(m.Tenants)) {
		all = append(all, notOnList{[]string{"tenants", name, "defaults", "not_on"}, m.Tenants[name].Defaults.NotOn})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Pipelines)) {
		all = append(all, notOnList{[]string{"pipelines", name, "not_on"}, m.Pipelines[name].NotOn})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Schedules)) {
		all = append(all, notOnList{[]string{"schedules", name, "not_on"}, m.Schedules[name].NotOn})
	}
	return all
}

func readCalendar(folder *supply.Folder, name string) ([]string, error) {
	text, err := folder.Text(name, calendar.MaxFile)
	if err != nil {
		return nil, err
	}
	return calendar.ReadFile(name, text)
}

func calendarProblem(err error, at []string) flow.Problem {
	p := flow.Problem{Code: flow.CodeNotOn, Path: at, Message: err.Error(), Help: "check the path; it is relative to the manifest's folder and cannot leave it"}
	if bad, ok := errors.AsType[*calendar.Error](err); ok {
		p.Help = bad.Hint
	}
	if errors.Is(err, fs.ErrNotExist) {
		p.Message, p.Note = "a calendar file of not_on does not exist", "no such file"
	}
	return p
}

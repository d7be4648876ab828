package main

import (
	"context"
	"slices"
)

// stepGoals compares the step under Uniflow with its peers.
func stepGoals(all []series) part {
	var p part
	for _, lang := range []string{langGo, langC} {
		base, quiet := find(all, lang, ours), find(all, lang, floor)
		busy := unsteady(quiet.Name, quiet.p50)
		p.Goals = append(p.Goals, ratios(lang+" step, isolated and stoppable, to a raw reused call", base.p50, quiet.p50).
			most(map[string]float64{langGo: 1.5, langC: 3}[lang]).unless(busy))
		for _, g := range []struct {
			peer, lang, name string
			goal             float64
		}{
			{nameFresh, langGo, "a plain fresh wazero instance to the Go step", 25},
			{nameExtism, langGo, "Extism, fresh instance, to the Go step", 25},
			{nameExtism, langC, "Extism, fresh instance, to the C step", 60},
			{nameNativeGo, langGo, "fork/exec of native Go to the Go step", 7},
			{nameNativeC, langC, "fork/exec of native C to the C step", 150},
			{namePython, langGo, "a start of python3 to the Go step", 75},
		} {
			if s, ok := named(all, lang, g.peer); ok && g.lang == lang {
				p.Goals = append(p.Goals, ratios(g.name, s.p50, base.p50).least(g.goal).unless(busy))
				p.Details = append(p.Details, ratios(s.Name+" to a raw reused call in "+lang, s.p50, quiet.p50).unless(busy))
			}
		}
	}
	return p
}

// find returns the variant of a language in its role.
func find(all []series, lang string, role role) series {
	return all[slices.IndexFunc(all, func(s series) bool { return s.Lang == lang && s.role == role })]
}

// named returns the variant of a name, if this machine has it.
func named(all []series, lang, name string) (series, bool) {
	i := slices.IndexFunc(all, func(s series) bool { return s.Lang == lang && s.Name == name })
	if i < 0 {
		return series{}, false
	}
	return all[i], true
}

// steps measures all variants of the step.
func (l *lineup) steps(ctx context.Context) (part, error) {
	all, err := l.measure(ctx)
	if err != nil {
		return part{}, err
	}
	l.rows = newRows(all)
	p := stepGoals(all)
	p.Goals = append(p.Goals, workerGoals(all)...)
	return p, nil
}

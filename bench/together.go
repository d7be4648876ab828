package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// together measures schedules that are due at one time, and beside them gocron
// alone with as many empty jobs.
func (l *lineup) together(ctx context.Context) (part, error) {
	thousand, tenThousand := crowd{Schedules: 1000, Every: 2 * time.Second, Times: 6}, crowd{Schedules: 10_000, Every: 10 * time.Second, Times: 3}
	if l.each < time.Second { // somebody wants to see that it works
		thousand.Schedules, thousand.Times, tenThousand.Schedules, tenThousand.Times = 10, 2, 20, 2
	}
	few, err := l.crowdOf(ctx, thousand)
	if err != nil {
		return part{}, err
	}
	many, err := l.crowdOf(ctx, tenThousand)
	if err != nil {
		return part{}, err
	}
	p := part{Goals: append(few.ratio(), many.ratio()...), Details: append(few.details(), many.details()...)}
	p.Goals = append(p.Goals, few.late().most(0.1), lasting(many.name("load and arm"), []time.Duration{many.ours.Ready}).most(2))
	p.Goals = append(p.Goals, memory(many.name("memory before the first is due"), many.ours.Before).most(150), memory(many.name("memory after"), many.ours.After).most(400))
	p.Details = append(p.Details, memory(many.name("memory at most"), many.ours.Most), many.late())
	return p, nil
}

// crowdPair is one crowd under Uniflow and under gocron alone.
type crowdPair struct {
	crowd
	ours, alone crowdSaid
}

func (l *lineup) crowdOf(ctx context.Context, c crowd) (pair crowdPair, err error) {
	if c.Dir, err = os.MkdirTemp(l.dir, "crowd-"); err != nil {
		return pair, err
	}
	module, err := os.ReadFile(filepath.Join(l.dir, "stamp.wasm"))
	if err != nil {
		return pair, err
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "stamp.wasm"), module, 0o600); err != nil {
		return pair, err
	}
	pair.crowd = c
	alone := c
	alone.Alone = true
	if pair.alone, err = alone.run(ctx); err != nil {
		return pair, fmt.Errorf("gocron alone: %w", err)
	}
	pair.ours, err = c.run(ctx)
	return pair, err
}

func (p *crowdPair) name(of string) string { return fmt.Sprintf("%d schedules, %s", p.Schedules, of) }

// late is how late they are once they have fired before.
func (p *crowdPair) late() figure {
	return lasting(p.name("due together: slot to first guest instruction, p99"), p.ours.Late[1:])
}

// ratio compares what is late; the first time, when everything is new, is left
// aside.
func (p *crowdPair) ratio() []figure {
	name := p.name("due together: lateness p99 to gocron alone")
	return []figure{ratios(name, p.ours.Late[1:], p.alone.Late[1:]).most(1.5).unless(unsteady("gocron alone", p.alone.Late[1:]))}
}

func (p *crowdPair) details() []figure {
	return []figure{
		lasting(p.name("gocron alone, p99"), p.alone.Late[1:]),
		lasting(p.name("the first time, p99"), p.ours.Late[:1]),
		lasting(p.name("the first time, gocron alone, p99"), p.alone.Late[:1]),
	}
}

// memory makes a figure of bytes.
func memory(name string, bytes int64) figure {
	f := summary(name, megabytes, []float64{float64(bytes) / 1e6})
	if bytes == 0 {
		f = f.unless("this system does not tell")
	}
	return f
}

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// docSize is the length of the document that the step reads, in bytes. Under
// our engine the host writes it anew for each call, so its instants, and with
// them its length, vary by a few bytes.
const docSize = 1024

// values returns the 40 numbers that the step sums up.
func values() []int {
	list := make([]int, 40)
	for i := range list {
		list[i] = 100 + i*457%900
	}
	return list
}

// answer returns what every variant must say.
func answer() []byte {
	list := values()
	sum := 0
	for _, v := range list {
		sum += v
	}
	return fmt.Appendf(nil, `{"count":%d,"sum":%d,"min":%d,"max":%d,"mean":%d}`,
		len(list), sum, slices.Min(list), slices.Max(list), sum/len(list))
}

// inputs returns the step's inputs with a note of so many bytes, which fills
// up the document.
func inputs(note int) map[string]json.RawMessage {
	list, err := json.Marshal(values())
	if err != nil {
		panic(err) // integers marshal
	}
	return map[string]json.RawMessage{"note": json.RawMessage(`"` + strings.Repeat("x", note) + `"`), "values": list}
}

// noteSize returns the length of the note that makes the document docSize long.
func noteSize() int { return docSize - len(encode(inputs(0))) }

// document returns the run context that peers are given: the one that our host
// writes for the same inputs.
func document() []byte { return encode(inputs(noteSize())) }

func encode(with map[string]json.RawMessage) []byte {
	now := time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC)
	doc, err := json.Marshal(flow.RunContext{
		ABI: flow.RunContextABI, Tenant: flow.DefaultTenant, Pipeline: "test", RunID: flow.NewRunID(now), Step: "test",
		Attempt: 1, MaxAttempts: 1, Trigger: flow.TriggerManual, ScheduledAt: now, StartedAt: now, Deadline: now.Add(time.Minute),
		Context: map[string]json.RawMessage{}, With: with, Features: []string{},
	})
	if err != nil {
		panic(err) // every value in it marshals
	}
	return doc
}

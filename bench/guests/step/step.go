// Package step is the step that is measured, for every front end in Go. It
// does no input or output of its own.
package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Answer is what the step finds.
type Answer struct {
	Count int `json:"count"`
	Sum   int `json:"sum"`
	Min   int `json:"min"`
	Max   int `json:"max"`
	Mean  int `json:"mean"` // rounded towards zero
}

// Of sums up the numbers in with.values of a decoded run context.
func Of(with json.RawMessage) (Answer, error) {
	var in struct {
		Values []int `json:"values"`
	}
	if err := json.Unmarshal(with, &in); err != nil {
		return Answer{}, fmt.Errorf("read the numbers: %w", err)
	}
	if len(in.Values) == 0 {
		return Answer{}, errors.New("with.values must be a list of integers")
	}
	a := Answer{Count: len(in.Values), Min: slices.Min(in.Values), Max: slices.Max(in.Values)}
	for _, v := range in.Values {
		a.Sum += v
	}
	a.Mean = a.Sum / a.Count
	return a, nil
}

// Document reads a whole run context as the kit does and returns the answer as
// JSON, for the front ends that have no kit to do so.
func Document(doc []byte) ([]byte, error) {
	run, err := abi.DecodeRunContext(doc)
	if err != nil {
		return nil, err
	}
	answer, err := Of(run.With)
	if err != nil {
		return nil, err
	}
	return abi.Marshal(answer)
}

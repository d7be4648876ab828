package uniflow_test

import (
	"fmt"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

// A step reads its inputs, says what it does, and sets outputs.
func total(ctx *uniflow.Context) error {
	var with struct {
		Prices []float64 `json:"prices"`
	}
	if err := ctx.DecodeWith(&with); err != nil {
		return err
	}
	if len(with.Prices) == 0 {
		return uniflow.Skip("no prices today")
	}
	var sum float64
	for _, price := range with.Prices {
		sum += price
	}
	ctx.Info("added %d prices", len(with.Prices))
	return ctx.Output("sum", sum)
}

// A step is tested as a plain function.
func Example() {
	result, err := sdktest.Run(total, sdktest.Input{
		With: map[string]any{"prices": []float64{1.5, 2.25}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Verdict.Kind, string(result.Outputs["sum"]))
	fmt.Println(result.Logs[0].Level, result.Logs[0].Message)

	result, _ = sdktest.Run(total, sdktest.Input{})
	fmt.Println(result.Verdict.Kind, result.Verdict.Message)
	// Output:
	// ok 3.75
	// info added 2 prices
	// skip no prices today
}

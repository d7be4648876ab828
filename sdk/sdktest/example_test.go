package sdktest_test

import (
	"fmt"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

// A step that fetches a table, unless it is the one of the last run.
func fetch(ctx *uniflow.Context) error {
	token, err := ctx.Secret("TOKEN")
	if err != nil {
		return err
	}
	page, err := ctx.HTTP(uniflow.HTTPRequest{URL: "https://example.com/table.csv", Header: map[string]string{"authorization": token}})
	if err != nil {
		return err
	}
	var last string
	if _, err := ctx.GetState("etag", &last); err != nil {
		return err
	}
	if page.Header["etag"] == last {
		return uniflow.Skip("the table has not changed")
	}
	ref, err := ctx.PutArtifact("table.csv", "text/csv", page.Body)
	if err != nil {
		return err
	}
	if _, err := ctx.Emit(uniflow.Event{Type: "com.example.table.new", Data: ref.Size}); err != nil {
		return err
	}
	if err := ctx.SetState("etag", page.Header["etag"]); err != nil {
		return err
	}
	return ctx.Output("table", ref)
}

// Services are faked in plain Go.
func Example() {
	input := sdktest.Input{
		Secrets: map[string]string{"TOKEN": "s3cret"},
		State:   map[string]any{"etag": "v1"},
		HTTP: func(r abi.HTTPRequest) (abi.HTTPResponse, error) {
			if r.Header["authorization"] != "s3cret" {
				return abi.HTTPResponse{Status: 401}, nil
			}
			return abi.HTTPResponse{Status: 200, Header: map[string]string{"ETag": "v2"}, Body: []byte("a,b\n")}, nil
		},
	}
	result, err := sdktest.Run(fetch, input)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Verdict.Kind, result.Requests[0].URL)
	fmt.Printf("%q %s\n", result.Artifacts["table.csv"], result.State["etag"])
	fmt.Println(result.Events[0].Type, string(result.Events[0].Data))

	input.State["etag"] = "v2"
	result, _ = sdktest.Run(fetch, input)
	fmt.Println(result.Verdict.Kind, result.Verdict.Message)

	// A server that does not answer, and a secret that is not exposed.
	input.HTTP = func(abi.HTTPRequest) (abi.HTTPResponse, error) { return abi.HTTPResponse{}, abi.Unavailable }
	result, _ = sdktest.Run(fetch, input)
	fmt.Println(result.Verdict.Kind, result.Verdict.Code)
	input.Secrets = nil
	result, _ = sdktest.Run(fetch, input)
	fmt.Println(result.Verdict.Kind, result.Verdict.Code)
	// Output:
	// ok https://example.com/table.csv
	// "a,b\n" "v2"
	// com.example.table.new 4
	// skip the table has not changed
	// failed unavailable
	// permanent denied
}

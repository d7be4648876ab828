package sdktest_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

// within runs a step that tests itself.
func within(t *testing.T, in sdktest.Input, step func(*uniflow.Context) error) sdktest.Result {
	t.Helper()
	result, err := sdktest.Run(step, in)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestArtifactsAreThoseOfTheRun(t *testing.T) {
	t.Parallel()
	content := []byte("one\ntwo\n")
	in := sdktest.Input{Artifacts: [][]byte{content}, With: map[string]any{"file": sdktest.Ref("text/plain", content)}}
	result := within(t, in, func(ctx *uniflow.Context) error {
		var with struct{ File uniflow.ArtifactRef }
		if err := ctx.DecodeWith(&with); err != nil {
			return err
		}
		got, err := io.ReadAll(ctx.OpenArtifact(with.File))
		if err != nil || string(got) != string(content) {
			t.Errorf("read %q, %v", got, err)
		}
		if _, err := ctx.GetArtifact(sdktest.Ref("text/plain", []byte("another"))); !errors.Is(err, abi.NotFound) {
			t.Errorf("an artifact of nobody: %v", err)
		}
		_, err = ctx.PutArtifact("copy", "", got)
		return err
	})
	if result.Verdict.Kind != abi.KindOK || string(result.Artifacts["copy"]) != string(content) {
		t.Errorf("result %+v", result)
	}
}

func TestStateIsListedAndDeleted(t *testing.T) {
	t.Parallel()
	result := within(t, sdktest.Input{State: map[string]any{"a.1": 1, "a.2": 2, "b": 3}}, func(ctx *uniflow.Context) error {
		keys, err := ctx.ListState("a.")
		if err != nil || !slices.Equal(keys, []string{"a.1", "a.2"}) {
			t.Errorf("keys %v, %v", keys, err)
		}
		var n int
		if found, err := ctx.GetState("none", &n); found || err != nil {
			t.Errorf("found %v, %v", found, err)
		}
		return ctx.DeleteState("a.1")
	})
	if len(result.State) != 2 || string(result.State["b"]) != "3" {
		t.Errorf("state %s", result.State)
	}
}

func TestBytesOfAnAnswerStayBytes(t *testing.T) {
	t.Parallel()
	raw := []byte{0xff, 0, 1}
	in := sdktest.Input{HTTP: func(r abi.HTTPRequest) (abi.HTTPResponse, error) {
		return abi.HTTPResponse{Body: append(raw, r.Body...)}, nil
	}}
	result := within(t, in, func(ctx *uniflow.Context) error {
		page, err := ctx.HTTP(uniflow.HTTPRequest{Method: "POST", URL: "https://example.com", Body: []byte{2}})
		if err != nil || page.Status != 200 || !slices.Equal(page.Body, []byte{0xff, 0, 1, 2}) {
			t.Errorf("page %+v, %v", page, err)
		}
		page, err = ctx.HTTP(uniflow.HTTPRequest{URL: "https://example.com", Artifact: "logo"})
		if err != nil || page.Artifact == nil || page.Artifact.Size != 3 {
			t.Errorf("page %+v, %v", page, err)
		}
		return err
	})
	if len(result.Artifacts["logo"]) != 3 || len(result.Requests) != 2 {
		t.Errorf("result %+v", result)
	}
}

func TestCallGoesBeforeTheFakes(t *testing.T) {
	t.Parallel()
	in := sdktest.Input{Call: func(op string, _, _ []byte) ([]byte, error) {
		if op == abi.OpSecretGet {
			return []byte(`{"value":"raw"}`), nil
		}
		return nil, abi.UnknownOp
	}}
	within(t, in, func(ctx *uniflow.Context) error {
		if value, err := ctx.Secret("ANY"); err != nil || value != "raw" {
			t.Errorf("secret %q, %v", value, err)
		}
		if err := ctx.SetState("k", 1); err != nil {
			t.Error(err)
		}
		if err := ctx.Call("no.such", struct{}{}, nil); !errors.Is(err, abi.UnknownOp) {
			t.Errorf("no.such: %v", err)
		}
		return nil
	})
	if _, err := sdktest.Run(fetch, sdktest.Input{State: map[string]any{"f": func() {}}}); err == nil {
		t.Error("state that is no JSON is accepted")
	}
}

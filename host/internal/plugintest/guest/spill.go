package guest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// request hands the value to http.request, and the answer, or the name of the errno, on as outputs.
func request(w With, h Host) error {
	answer, err := h.Call(abi.OpHTTPRequest, w.Value, nil)
	if err != nil {
		return errors.Join(h.Output("errno", nameOf(err)), h.Output("message", asText(err.Error())))
	}
	return h.Output("answer", answer)
}

// spill asks the service that with.code names and tells all that it hears, by every way out of a sandbox and in every
// form that it can think of.
func spill(_ abi.RunContext, w With, h Host) error {
	heard, err := h.Call(w.Code, w.Value, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Code, err)
	}
	text := string(heard)
	var answer struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(heard, &answer) == nil && answer.Value != "" {
		text = answer.Value
	}
	forms := strings.Join([]string{
		text, base64.StdEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte("x" + text)), hex.EncodeToString([]byte(text)),
		url.QueryEscape(text), string(asText(text)),
	}, " ")
	h.Log(abi.LevelInfo, forms)
	for rest := text; rest != ""; {
		n := min(7, len(rest))
		h.Log(abi.LevelWarn, rest[:n])
		rest = rest[n:]
	}
	h.Progress(500, forms)
	if w.Size > 0 { // a process of its own, or a sandbox
		fmt.Fprintln(os.Stderr, forms)
	}
	_, putErr := h.Call(abi.OpArtifactPut, fmt.Appendf(nil, `{"name":%s,"type":%s}`, asText(text[:min(len(text), 100)]), asText("text/"+text)), []byte("nothing"))
	_, opErr := h.Call(text[:min(len(text), 100)], nil, nil)
	h.Log(abi.LevelError, fmt.Sprint(putErr, opErr))
	_, stateErr := h.Call(abi.OpStateSet, fmt.Appendf(nil, `{"key":"k","value":%s}`, asText(forms)), nil)
	_, eventErr := h.Call(abi.OpEventEmit, fmt.Appendf(nil, `{"type":"com.example.spill","data":%s}`, asText(forms)), nil)
	h.Log(abi.LevelError, fmt.Sprint(stateErr, eventErr))
	if err := errors.Join(h.Output("forms", asText(forms)), h.Output(text[:min(len(text), 100)], heard)); err != nil {
		return err
	}
	if w.Kind != abi.KindOK {
		return &End{Kind: w.Kind, Code: text, Message: forms}
	}
	return nil
}

func asText(text string) json.RawMessage {
	doc, _ := json.Marshal(text)
	return doc
}

package uniflow

import (
	"encoding/json"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Ending is an error that says how a step wants to end. Any other error that a
// step returns is a failure under the step's retry policy.
type Ending = abi.Ending

// Skip ends the step because there is nothing to do. Its outputs are kept and
// the run can still succeed.
func Skip(reason string) error { return abi.Skip(reason) }

// Retry ends the step with a transient failure. The wait may be zero: the
// step's retry policy decides then.
func Retry(err error, after time.Duration) error { return abi.Retry(err, after) }

// Permanent ends the step with a failure that trying again cannot heal.
func Permanent(err error) error { return abi.Permanent(err) }

// Fail ends the step with a failure that carries a machine code of the
// plugin's own.
func Fail(code string, err error) error { return abi.Fail(code, err) }

// Refusal is the answer of a service that said no; errors.AsType finds it in
// the error of a method of Services.
type Refusal = abi.Refusal

// Execute runs a step against a host, tells the host why a failed step failed,
// and returns how it ended. Main, Handle and sdktest are built on it.
func Execute(host Host, run abi.RunContext, step func(*Context) error) abi.Kind {
	return report(host, step(&Context{RunContext: run, Services: abi.NewServices(host.Call), host: host}))
}

// report records how a step ended.
func report(host Host, err error) abi.Kind {
	if err == nil {
		return abi.KindOK
	}
	end := abi.EndingOf(err)
	host.Fail(end.Kind, message(&end))
	return end.Kind
}

// message is the text of the ending, or the structured form where there is
// more to say than a text or where the text would be read as that form.
func message(e *Ending) []byte {
	text := abi.ClipMessage(e.Error())
	plain := e.Code == "" && e.After <= 0 && (text == "" || text[0] != '{')
	if plain {
		return []byte(text)
	}
	doc := struct {
		Code         string `json:"code,omitempty"`
		Message      string `json:"message"`
		RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
	}{abi.ClipMessage(e.Code), text, max(e.After.Milliseconds(), 0)}
	for {
		b, err := json.Marshal(doc)
		if err == nil && len(b) <= abi.MaxMessage {
			return b
		}
		// Escapes can make the document longer than its text.
		doc.Message, doc.Code = half(doc.Message), half(doc.Code)
	}
}

// half shortens a text that is too long to be sent; a short one it keeps.
func half(s string) string {
	if len(s) < 256 {
		return s
	}
	return s[:len(s)/2]
}

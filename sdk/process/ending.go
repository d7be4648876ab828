package process

import (
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Ending is an error that says how a function wants to end. Any other error is
// a failure under the step's retry policy.
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

// Refusal is the answer of a service that said no. It wraps its Errno.
type Refusal = abi.Refusal

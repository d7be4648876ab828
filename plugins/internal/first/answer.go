package first

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Unreached says how a step ends whose request had no answer: it may have one the next time, unless the host refuses it.
func Unreached(err error) error {
	if errors.Is(err, abi.Unavailable) {
		return uniflow.Retry(err, 0)
	}
	return err
}

// Answered says how a step ends whose request had an answer that it did not expect: a server that is busy or broken may
// do better later, and often says when.
func Answered(method, url string, answer uniflow.HTTPResponse) error {
	err := fmt.Errorf("%s %s: the server answered %d%s", method, url, answer.Status, excerpt(answer.Body))
	switch s := answer.Status; {
	case s == 408, s == 425, s == 429, s >= 500 && s != 501 && s != 505:
		return uniflow.Retry(err, RetryAfter(answer.Header))
	}
	return uniflow.Permanent(err)
}

// excerpt is the beginning of what a server says.
func excerpt(body []byte) string {
	const most = 200
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), most)]), "")), " ")
	if text == "" {
		return ""
	}
	if len(body) > most {
		text += " …"
	}
	return ": " + text
}

// RetryAfter is how long a server asks to wait: a number of seconds, or a date, which is held against the server's own
// clock. Zero where it says nothing.
func RetryAfter(header map[string]string) time.Duration {
	const most = 24 * time.Hour // what a plugin may ask for
	value := strings.TrimSpace(header["retry-after"])
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(most/time.Second))) * time.Second
	}
	at, err := parseHTTPTime(value)
	if err != nil {
		return 0
	}
	now, err := parseHTTPTime(header["date"])
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), most)
}

// parseHTTPTime reads a date as HTTP writes it.
func parseHTTPTime(text string) (time.Time, error) {
	return time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", text)
}

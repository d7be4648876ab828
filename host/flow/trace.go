package flow

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TraceID is the id of a run's trace: the 128 bits of its id. It needs no tracing to be known.
func TraceID(run RunID) [16]byte {
	if !run.Valid() {
		return [16]byte(hashOf("trace", string(run)))
	}
	// 26 characters are 130 bits; the first two are zero until the year 10889.
	var hi, lo uint64
	for _, c := range []byte(run) {
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(strings.IndexByte(crockford, c))
	}
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	if id == [16]byte{} { // which means no trace
		id[15] = 1
	}
	return id
}

// SpanID is the id of a span of a run's trace: of an attempt; of a step, where attempt is 0; of the run, where step is
// empty too.
func SpanID(run RunID, step string, item *int, attempt int) [8]byte {
	index := ""
	if item != nil {
		index = strconv.Itoa(*item)
	}
	return [8]byte(hashOf("span", string(run), step, index, strconv.Itoa(attempt)))
}

// Traceparent is the header of W3C Trace Context that makes what an attempt calls a part of the run's trace. Sampled says
// that the host sends the trace to somebody.
func Traceparent(run RunID, step string, item *int, attempt int, sampled bool) string {
	trace, span := TraceID(run), SpanID(run, step, item, attempt)
	flags := "00"
	if sampled {
		flags = "01"
	}
	return fmt.Sprintf("00-%s-%s-%s", hex.EncodeToString(trace[:]), hex.EncodeToString(span[:]), flags)
}

// hashOf never is all zeros but by an accident of 2^64.
func hashOf(parts ...string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return sum[:16]
}

// Time is the time in the id: for the run of a slot, the slot; for others, when they were asked for. It is the zero
// time where the id has not the form of one.
func (id RunID) Time() time.Time {
	if !id.Valid() {
		return time.Time{}
	}
	var ms int64
	for _, c := range []byte(id[:10]) {
		ms = ms<<5 | int64(strings.IndexByte(crockford, c))
	}
	return time.UnixMilli(ms).UTC()
}

// HostCall is what was seen of one call of a guest to the host. It has nothing of what was asked and answered but sizes.
type HostCall struct {
	Tenant   string
	Pipeline string
	Run      RunID
	Step     string
	Item     *int
	Attempt  int
	// Number counts the calls of an attempt from 1.
	Number int64
	Op     string
	// Server is the host that http.request went to, Method and Status are those of the exchange; empty for other calls.
	Server string
	Method string
	Status int
	Begun  time.Time
	Took   time.Duration
	// Sent are bytes of the guest, Received are bytes for it.
	Sent, Received int
	// Code is the name of the errno, empty where the call was served.
	Code string
}

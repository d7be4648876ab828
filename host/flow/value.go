package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Digest names bytes by content: "sha256:" and 64 lower case hexadecimal digits. The empty Digest names nothing.
type Digest string

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// Valid reports whether d has the form of a digest.
func (d Digest) Valid() bool {
	raw, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok || len(raw) != 64 || strings.ToLower(raw) != raw {
		return false
	}
	_, err := hex.DecodeString(raw)
	return err == nil
}

// Hex returns the digits without the algorithm.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

// Short returns the first twelve digits, enough for a person to tell two digests apart.
func (d Digest) Short() string {
	h := d.Hex()
	return h[:min(12, len(h))]
}

// Duration is a length of time whose text is what a manifest holds: "90s", "1h30m", "2d" (a day is 24 hours).
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the shortest exact text: "1h30m", "90s" becomes "1m30s", zero is "0s".
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts what time.ParseDuration accepts, and whole days ("2d", "1d12h"). Negative lengths are refused.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// ParseDuration reads the text of a Duration.
func ParseDuration(text string) (time.Duration, error) {
	var days time.Duration
	rest := text
	if head, tail, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 32)
		if err != nil || n > 36500 {
			return 0, fmt.Errorf("%q is not a duration; expected a form like 90s, 10m, 1h30m or 2d", text)
		}
		days, rest = time.Duration(n)*24*time.Hour, tail
		if rest == "" {
			return days, nil
		}
	}
	v, err := time.ParseDuration(rest)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; expected a form like 90s, 10m, 1h30m or 2d", text)
	}
	if v < 0 {
		return 0, fmt.Errorf("duration %q is negative", text)
	}
	if v > math.MaxInt64-days {
		return 0, fmt.Errorf("duration %q is too long", text)
	}
	return days + v, nil
}

// Size is a number of bytes whose text is what a manifest holds: "64MiB", "1GiB", "500B". Units are B, KiB, MiB, GiB.
type Size int64

const (
	KiB Size = 1 << 10 // KiB is 1,024 bytes.
	MiB Size = 1 << 20 // MiB is 1,024 KiB.
	GiB Size = 1 << 30 // GiB is 1,024 MiB.
)

// String returns s in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range []struct {
		size Size
		name string
	}{{GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts a whole number and a unit; the number of bytes is at most 2^40.
func (s *Size) UnmarshalText(text []byte) error {
	str := string(text)
	unit, digits := Size(1), strings.TrimSuffix(str, "B")
	for suffix, u := range map[string]Size{"KiB": KiB, "MiB": MiB, "GiB": GiB} {
		if d, ok := strings.CutSuffix(str, suffix); ok {
			unit, digits = u, d
		}
	}
	n, err := strconv.ParseUint(digits, 10, 41)
	if err != nil || digits == str || n > uint64((1<<40)/unit) {
		return fmt.Errorf("%q is not a size; expected a form like 512KiB, 64MiB or 1GiB, at most 1024GiB", str)
	}
	*s = Size(n) * unit
	return nil
}

// Backoff is the range of waits between attempts, doubling from Min up to Max: "1s..1m". One duration is both ends.
type Backoff struct {
	Min, Max time.Duration
}

// String returns the text form.
func (b Backoff) String() string {
	if b.Min == b.Max {
		return Duration(b.Min).String()
	}
	return Duration(b.Min).String() + ".." + Duration(b.Max).String()
}

// MarshalText implements encoding.TextMarshaler.
func (b Backoff) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Backoff) UnmarshalText(text []byte) error {
	lo, hi, found := strings.Cut(string(text), "..")
	if !found {
		hi = lo
	}
	first, err := ParseDuration(lo)
	if err != nil {
		return fmt.Errorf("%q is not a backoff; expected a range like 1s..1m", text)
	}
	last, err := ParseDuration(hi)
	if err != nil {
		return fmt.Errorf("%q is not a backoff; expected a range like 1s..1m", text)
	}
	if last < first {
		return errors.New("a backoff's second duration is at least its first")
	}
	b.Min, b.Max = first, last
	return nil
}

package secret

import (
	"io"
	"strings"
	"testing"
)

func BenchmarkVeil(b *testing.B) {
	v := veilOf("ghp_AbCdEfGhIjKlMnOpQrStUvWxYz012345", token)
	page := strings.Repeat("<tr><td>2026-11-26</td><td>some text, \\n 12.5</td></tr>\n", 8<<20/56)
	b.Run("text", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		for b.Loop() {
			v.Text(page)
		}
	})
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		for b.Loop() {
			_, _ = io.Copy(io.Discard, v.Reader(strings.NewReader(page)))
		}
	})
	b.Run("worst", func(b *testing.B) {
		worst := strings.Repeat("a", 8<<20)
		v := veilOf("aaaaaa")
		b.SetBytes(int64(len(worst)))
		for b.Loop() {
			v.Text(worst)
		}
	})
}

package calendar

import (
	"testing"
	"time"
)

func BenchmarkNext(b *testing.B) {
	s := mustParse(b, "daily 02:30", "America/New_York")
	after := at(b, "2026-03-07T00:00:00Z")
	for b.Loop() {
		s.Next(after)
	}
}

func BenchmarkDueOfOneYear(b *testing.B) {
	after := at(b, "2025-01-01T00:00:00Z")
	for _, text := range []string{"every 1s", "cron * * * * * *", "daily 02:30"} {
		b.Run(text, func(b *testing.B) {
			s := mustParse(b, text, "America/New_York")
			for b.Loop() {
				s.Due(after, after.Add(365*24*time.Hour))
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		mustParse(b, "cron 0 12 * * 1-5", "America/New_York")
	}
}

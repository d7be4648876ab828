package calendar_test

import (
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

func Example() {
	s, err := calendar.Parse("daily 02:30", "America/New_York")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s)
	for _, slot := range s.List(time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC), 3) {
		fmt.Println(slot.Format(time.RFC3339))
	}
	fmt.Println(s.Due(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	// Output:
	// every day at 02:30, America/New_York
	// 2026-03-07T07:30:00Z
	// 2026-03-08T07:00:00Z
	// 2026-03-09T06:30:00Z
	// 2025-12-31 07:30:00 +0000 UTC 365
}

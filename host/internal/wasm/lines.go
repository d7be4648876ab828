package wasm

import (
	"fmt"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// Bounds of how often, and how long in all, the lines of one compiled module are looked for: each time the module is
// rewritten. The places that were found are remembered.
const (
	maxLookups = 100
	maxLooking = 5 * time.Second
)

// lines are the places in its source that are known of a module. It reads nothing before the first trap, and keeps neither
// the module nor its debug information.
type lines struct {
	resettable bool

	mu      sync.Mutex
	lookups int
	looking time.Duration
	known   map[uint32]string
}

// of returns the places of offsets in the code as it was rewritten, "" for what is not known. The module is read again; one
// that cannot be, or that is another by now, gives none.
func (l *lines) of(p *flow.PlanPlugin, offsets []uint32) []string {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.learn(p, offsets)
	places := make([]string, len(offsets))
	for i, offset := range offsets {
		places[i] = l.known[offset]
	}
	return places
}

func (l *lines) learn(p *flow.PlanPlugin, offsets []uint32) {
	var asked []uint32
	for _, offset := range offsets {
		if _, known := l.known[offset]; !known {
			asked = append(asked, offset)
		}
	}
	if len(asked) == 0 || l.lookups == maxLookups || l.looking > maxLooking {
		return
	}
	l.lookups++
	begin := time.Now()
	defer func() { l.looking += time.Since(begin) }()
	b, err := readModule(p.Path)
	if err != nil || flow.DigestOf(b) != p.Digest {
		return
	}
	m, err := binary.Decode(b)
	if err != nil {
		return
	}
	for i, line := range m.Lines(m.Origins(optionsOf(m, l.resettable), asked)) {
		l.known[asked[i]] = ""
		if line.File != "" {
			l.known[asked[i]] = fmt.Sprintf("%s:%d", printable(line.File), line.Line)
		}
	}
}

package process

import (
	"context"
	"sync"

	"github.com/uniflow-dev/uniflow/host/internal/process/workerproto"
)

const (
	outboxBytes = 256 << 10 // of events that wait to be sent; a guest that is faster waits
	eventBytes  = 32        // what an event costs beside its text
	keptLine    = 4 << 10   // the host keeps no more of a line
)

// outbox sends the events of one attempt to the host, in order and as many at once as have gathered. An attempt without
// events costs nothing.
type outbox struct {
	id   string
	host workerproto.HostClient
	room int64 // of log lines that the host may still keep; what comes later is only counted

	mu      sync.Mutex
	changed sync.Cond
	waiting []*workerproto.Event
	bytes   int
	begun   bool
	closed  bool
	broken  bool
	done    chan struct{}
}

func newOutbox(id string, host workerproto.HostClient, logLimit int64) *outbox {
	if logLimit <= 0 {
		logLimit = 1 << 40 // the host decides
	}
	o := &outbox{id: id, host: host, room: 2*logLimit + keptLine, done: make(chan struct{})}
	o.changed.L = &o.mu
	return o
}

// log adds a line. One that the host cannot keep travels without its text.
func (o *outbox) log(level int32, message string) {
	o.mu.Lock()
	if o.room < 0 {
		message = ""
	}
	o.room -= int64(min(len(message), keptLine))
	o.mu.Unlock()
	o.add(&workerproto.Event{Level: level, Message: []byte(message)})
}

// add adds an event, and waits while too many wait. Nothing is added any more once the host does not listen.
func (o *outbox) add(e *workerproto.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.bytes > outboxBytes && !o.broken && !o.closed {
		o.changed.Wait()
	}
	if o.broken || o.closed {
		return
	}
	if !o.begun {
		o.begun = true
		go o.send() // flush waits for it
	}
	o.waiting = append(o.waiting, e)
	o.bytes += eventBytes + len(e.GetMessage())
	o.changed.Broadcast()
}

// flush ends the outbox and returns when the host has taken all of it.
func (o *outbox) flush() {
	o.mu.Lock()
	o.closed = true
	begun := o.begun
	o.changed.Broadcast()
	o.mu.Unlock()
	if begun {
		<-o.done
	}
}

// send sends until flush.
func (o *outbox) send() {
	defer close(o.done)
	ctx, cancel := context.WithCancel(context.Background()) // the grace of an attempt is heard too
	defer cancel()
	stream, err := o.host.Events(ctx)
	for err == nil {
		events := o.take()
		if len(events) == 0 {
			_, _ = stream.CloseAndRecv() // the answer means that all has been taken
			return
		}
		err = stream.Send(&workerproto.EventBatch{CallId: o.id, Events: events})
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken, o.waiting, o.bytes = true, nil, 0
	o.changed.Broadcast()
}

// take waits for events and returns all that are there; none once the outbox is closed and empty.
func (o *outbox) take() []*workerproto.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) == 0 && !o.closed {
		o.changed.Wait()
	}
	events := o.waiting
	o.waiting, o.bytes = nil, 0
	o.changed.Broadcast()
	return events
}

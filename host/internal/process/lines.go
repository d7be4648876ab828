package process

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// keptBytes bounds what is remembered of the lines that belong to no attempt.
const keptBytes = 600

// lines makes log lines of what a process prints, for the attempt that listens. It reads as fast as the process
// prints and keeps nothing of it beyond one line; a longer line is cut. The zero lines is ready.
type lines struct {
	mu     sync.Mutex
	host   listener // nil between attempts
	mark   string   // the line that ends the attempt's
	marked chan struct{}
	last   string // of the lines that no attempt heard, the end

	pipes   []io.Closer
	reading sync.WaitGroup // of pipes
}

// listener takes log lines.
type listener interface {
	Log(level flow.LogLevel, message string)
}

// listen passes the lines on to host, until silence. The channel is closed once the line mark was read.
func (l *lines) listen(host listener, mark string) (marked <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host, l.mark, l.marked = host, mark, make(chan struct{})
	return l.marked
}

// silence stops passing lines on. No line is passed on after it has returned.
func (l *lines) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host, l.mark = nil, ""
}

// read reads lines until the end of r.
func (l *lines) read(r io.Reader) {
	buffered := bufio.NewReaderSize(r, abi.MaxMessage)
	for rest := false; ; {
		text, err := buffered.ReadSlice('\n')
		if !rest {
			l.add(strings.TrimRight(string(text), "\r\n"))
		}
		rest = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !rest {
			return
		}
	}
}

func (l *lines) add(text string) {
	if text == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.host == nil:
		l.last += text + "\n"
		l.last = l.last[max(0, len(l.last)-keptBytes):]
	case text == l.mark:
		l.mark = ""
		close(l.marked)
	default:
		level, message, fields := abi.ParseStderrLine(text)
		if more, err := json.Marshal(fields); err == nil && len(fields) > 0 {
			message = strings.TrimSpace(message + " " + string(more))
		}
		l.host.Log(flow.LogLevel(level), abi.ClipMessage(message))
	}
}

// quoted is what the process printed before any attempt, as an addition to a message.
func (l *lines) quoted() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" {
		return ""
	}
	return fmt.Sprintf("; it printed %q", strings.ToValidUTF8(strings.TrimSpace(l.last), ""))
}

// writer returns a writer for another stream of the process. It must be closed by close.
func (l *lines) writer() io.Writer {
	r, w := io.Pipe()
	l.mu.Lock()
	l.pipes = append(l.pipes, w)
	l.mu.Unlock()
	l.reading.Go(func() { l.read(r) })
	return w
}

// close ends all writers and waits until what they hold is read.
func (l *lines) close() {
	l.mu.Lock()
	pipes := l.pipes
	l.mu.Unlock()
	for _, pipe := range pipes {
		_ = pipe.Close()
	}
	l.reading.Wait()
}

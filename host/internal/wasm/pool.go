package wasm

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Bounds of what is kept between attempts.
const (
	idleTime = time.Minute // an instance that nobody needed for so long is freed
	pageSize = 4 << 10     // what restoring compares and copies at once
	// quickImage is the size up to which restoring costs less than handing it to another goroutine.
	quickImage = 256 << 10
)

// poolKey tells the plugins apart that share a compiled module. No instance of one is ever another's.
type poolKey struct {
	tenant, plugin string // the key of the plugin
}

// pool keeps instances of one plugin that are as new: their memory and globals are those of its image. Only reactors,
// those of Extism among them, whose state is nothing else have one.
type pool struct {
	engine *engine

	mu     sync.Mutex
	image  *image // nil until an instance has been initialised
	mounts []string
	unfit  bool // initialisation did what an image does not hold
	idle   []idleInstance
	used   []*instance // have ended well and are not restored yet
	trim   *time.Timer
	closed bool
}

type idleInstance struct {
	*instance
	since time.Time
}

// image is the state of an instance that has been initialised.
type image struct {
	pages   [][]byte // of memory, pageSize each; all that hold zeros only are one and the same
	globals []uint64
	elapsed time.Duration // of the virtual clock
	kept    int           // bytes of its pages
}

// newImage copies the state of an instance. Most pages of most guests are zero: one page for all of them is less to keep,
// and less to read when a memory is compared.
func newImage(memory []byte, globals []api.MutableGlobal, elapsed time.Duration) *image {
	img := &image{elapsed: elapsed}
	zero := make([]byte, pageSize)
	for page := range slices.Chunk(memory, pageSize) {
		if bytes.Equal(page, zero) {
			page = zero
		} else {
			page = bytes.Clone(page)
			img.kept += pageSize
		}
		img.pages = append(img.pages, page)
	}
	for _, g := range globals {
		img.globals = append(img.globals, g.Get())
	}
	return img
}

// size is the length of the memory, in bytes.
func (img *image) size() int { return len(img.pages) * pageSize }

// restore puts an instance back into the state of the image. It takes as long as it takes to read its memory: few pages
// differ after most attempts, and comparing is cheaper than having the kernel tell.
func (img *image) restore(memory []byte, globals []api.MutableGlobal) {
	for i, want := range img.pages {
		if got := memory[i*pageSize:][:pageSize]; !bytes.Equal(want, got) {
			copy(got, want)
		}
	}
	for i, g := range globals {
		g.Set(img.globals[i])
	}
}

// pool returns the pool of a plugin, or nil when its instances are not used again: the module's state cannot be put
// back, the plugin opts out, or randomness was granted and would be the same in each attempt.
func (e *engine) pool(key poolKey, p *flow.PlanPlugin) *pool {
	if !e.info.resettable || p.Fresh || p.Grant.Random && e.info.export(abi.ReseedExport) == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pools[key] == nil {
		e.pools[key] = &pool{engine: e}
	}
	if e.pools[key].isUnfit() {
		return nil
	}
	return e.pools[key]
}

func (p *pool) isUnfit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unfit
}

// isReady reports whether an attempt finds an instance.
func (p *pool) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)+len(p.used) > 0
}

// fits reports whether the attempt sees the folders that the image was made with: what a grant names can be a file now
// and a folder later, and guests look at their folders when they are initialised.
func (p *pool) fits(a *attempt) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.image == nil || slices.Equal(p.mounts, a.mountPaths())
}

// take returns an instance in the state of the image, for the attempt.
func (p *pool) take(guest context.Context, a *attempt) (*instance, error) {
	in, image := p.pop()
	if image != nil && uint64(image.size())+a.blocks() > a.limit {
		if in != nil {
			p.push(in)
		}
		return nil, a.tooLarge(flow.Size(uint64(image.size()) + a.blocks()))
	}
	var err error
	switch {
	case in != nil:
		in.enter(a)
	case image != nil:
		if in, err = p.engine.instantiate(guest, a); err != nil {
			return nil, err
		}
		if !in.memory.fit(image.size(), in.module) {
			in.close()
			return nil, a.tooLarge(flow.Size(image.size()))
		}
		p.restore(in, image)
		in.enter(a)
	default:
		if in, image, err = p.bake(guest, a); err != nil {
			return nil, err
		}
	}
	a.clock.base = image.elapsed
	if p.engine.info.export(abi.ReseedExport) != nil {
		if _, err := in.call(guest, abi.ReseedExport); err != nil {
			in.left(a)
			in.close()
			return nil, err
		}
	}
	return in, nil
}

// bake makes the first instance and takes its image. It initialises the same way whatever the attempt: time and
// randomness are fixed then, where they are not granted.
func (p *pool) bake(guest context.Context, a *attempt) (*instance, *image, error) {
	clock := a.clock
	a.clock = virtualClock{start: time.Unix(0, 0)}
	if !a.grant.Random {
		seed := [32]byte([]byte(p.engine.info.Digest.Hex())[:32])
		a.random = a.bounded(rand.NewChaCha8(seed))
	}
	in, err := p.engine.instantiate(guest, a)
	if err != nil {
		return nil, nil, err
	}
	steps := p.engine.info.initialisers()
	if p.engine.info.export(abi.WarmExport) != nil {
		steps = append(steps, abi.WarmExport)
	}
	for _, name := range steps {
		if _, err := in.call(guest, name); err != nil {
			in.left(a)
			in.close()
			return nil, nil, err
		}
	}
	in.noteOpen(a)
	img := newImage(in.memory.bytes, p.engine.globalsOf(in), a.clock.elapsed)
	a.clock, a.random = clock, nil
	p.mu.Lock()
	defer p.mu.Unlock()
	if in.touched {
		p.unfit = true
	} else if p.image == nil && !p.closed && p.engine.kept.take(img.kept) {
		p.image, p.mounts = img, a.mountPaths()
	}
	return in, img, nil
}

// pop takes an instance that is as new, or one that can be made so; nil when there is neither.
func (p *pool) pop() (*instance, *image) {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last >= 0 {
		defer p.mu.Unlock()
		in := p.idle[last].instance
		p.idle = p.idle[:last]
		p.engine.kept.give(len(in.memory.bytes))
		return in, p.image
	}
	in, image := p.popUsed(), p.image
	p.mu.Unlock()
	if in != nil {
		p.restore(in, image)
	}
	return in, image
}

func (p *pool) popUsed() *instance {
	last := len(p.used) - 1
	if last < 0 {
		return nil
	}
	in := p.used[last]
	p.used = p.used[:last]
	p.engine.kept.give(len(in.memory.bytes))
	return in
}

// give takes an instance back after an attempt that ended well, or frees it. It returns what is left to do when the
// result of the attempt is known: to restore a large instance, unless another attempt needs it before.
func (p *pool) give(in *instance) (after func()) {
	if !p.keep(in) {
		in.close()
		return nil
	}
	if len(in.memory.bytes) <= quickImage {
		p.tidy()
		return nil
	}
	return p.tidy
}

// keep puts an instance among the used ones, if it can be used again and there is room for it.
func (p *pool) keep(in *instance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.image == nil || in.touched || len(in.memory.bytes) != p.image.size() || len(p.idle)+len(p.used) > runtime.GOMAXPROCS(0) {
		return false
	}
	if !p.engine.kept.take(len(in.memory.bytes)) {
		return false
	}
	p.used = append(p.used, in)
	return true
}

// tidy restores an instance that was used.
func (p *pool) tidy() {
	p.mu.Lock()
	in, image := p.popUsed(), p.image
	p.mu.Unlock()
	if in != nil {
		p.restore(in, image)
		p.push(in)
	}
}

// restore makes an instance as new.
func (p *pool) restore(in *instance, img *image) {
	img.restore(in.memory.bytes, p.engine.globalsOf(in))
	in.attempt = nil
}

// push keeps an instance for the next attempt.
func (p *pool) push(in *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.engine.kept.take(len(in.memory.bytes)) {
		in.close()
		return
	}
	p.idle = append(p.idle, idleInstance{in, time.Now()})
	if p.trim == nil {
		p.trim = time.AfterFunc(idleTime, p.trimIdle)
	}
}

// trimIdle frees what was idle for long.
func (p *pool) trimIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = slices.DeleteFunc(p.idle, func(in idleInstance) bool {
		old := time.Since(in.since) >= idleTime
		if old {
			p.drop(in.instance)
		}
		return old
	})
	if p.trim = nil; len(p.idle) > 0 && !p.closed {
		p.trim = time.AfterFunc(idleTime-time.Since(p.idle[0].since), p.trimIdle)
	}
}

// close frees what is idle; what is in use is freed by who uses it.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.trim != nil {
		p.trim.Stop()
	}
	for _, in := range p.idle {
		p.drop(in.instance)
	}
	for _, in := range p.used {
		p.drop(in)
	}
	p.idle, p.used = nil, nil
	if p.image != nil {
		p.engine.kept.give(p.image.kept)
	}
}

// drop frees an instance that was kept.
func (p *pool) drop(in *instance) {
	p.engine.kept.give(len(in.memory.bytes))
	in.close()
}

// allowance bounds the bytes of memory that are kept between attempts.
type allowance struct {
	limit int64
	used  atomic.Int64
}

// take reserves bytes, if there is room for them.
func (a *allowance) take(n int) bool {
	if a.used.Add(int64(n)) <= a.limit {
		return true
	}
	a.give(n)
	return false
}

func (a *allowance) give(n int) { a.used.Add(-int64(n)) }

// globalsOf returns the mutable globals of an instance, in the order of the module.
func (e *engine) globalsOf(in *instance) []api.MutableGlobal {
	if in.globals == nil {
		for _, name := range e.globals {
			g, _ := in.module.ExportedGlobal(name).(api.MutableGlobal) // the rewriting has put it there
			in.globals = append(in.globals, g)
		}
	}
	return in.globals
}

package wasm

// Stats are the modules of a runtime.
type Stats struct {
	// Loaded are in memory now; Compiled were compiled so far, and Reopened taken from the cache.
	Loaded             int
	Compiled, Reopened uint64
}

// Stats counts the modules.
func (r *Runtime) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{Loaded: len(r.engines), Compiled: r.compiled.Load(), Reopened: r.reopened.Load()}
}

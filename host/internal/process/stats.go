package process

// Stats are the processes of a runtime.
type Stats struct {
	// Alive are those that live now, Idle those of them that wait for an attempt; Started are all so far.
	Alive, Idle int
	Started     uint64
}

// Stats counts the processes.
func (r *Runtime) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{Alive: len(r.alive), Idle: r.kept, Started: r.started.Load()}
}

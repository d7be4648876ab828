package simulate

// event is something that is going to happen: the end of a pipeline's live run, the end of a waiting run that could not
// start in time, or a schedule's alarm. An end or an alarm counts only if its number is still the one that its pipeline or
// schedule has.
type event struct {
	at     int64
	kind   kind
	index  int32
	number uint32
}

// kind orders what happens at one instant.
type kind uint8

const (
	kindEnd kind = iota
	kindOverdue
	kindAlarm
)

func (e *event) before(o *event) bool {
	switch {
	case e.at != o.at:
		return e.at < o.at
	case e.kind != o.kind:
		return e.kind < o.kind
	}
	return e.index < o.index
}

// events is a heap, the first to happen on top. It is spelt out for speed: a year may have tens of millions.
type events []event

func (h *events) push(e event) {
	*h = append(*h, e)
	a := *h
	for i := len(a) - 1; i > 0; {
		parent := (i - 1) / 2
		if !a[i].before(&a[parent]) {
			return
		}
		a[i], a[parent] = a[parent], a[i]
		i = parent
	}
}

func (h *events) pop() event {
	a := *h
	first, last := a[0], len(a)-1
	a[0] = a[last]
	a = a[:last]
	*h = a
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if a[child].before(&a[least]) {
				least = child
			}
		}
		if least == i {
			return first
		}
		a[i], a[least] = a[least], a[i]
		i = least
	}
}

package metrics

// other is the label of all that is not told apart.
const other = "other"

// names bound the values of a label: those that are there now, the first to be used, and only so many.
type names struct {
	most    int
	present map[key]bool
	used    map[key]bool
	count   map[string]int // of used, by tenant
}

func newNames(most int) names {
	return names{most: most, present: map[key]bool{}, used: map[key]bool{}, count: map[string]int{}}
}

// label is what stands for a name.
func (n *names) label(k key) string {
	switch {
	case n.used[k]:
	case !n.present[k] || len(n.used) >= n.most || n.count[k.tenant] >= max(1, n.most/4) || k.name == other:
		return other
	default:
		n.used[k] = true
		n.count[k.tenant]++
	}
	return k.name
}

// keep takes the names that there are now, and returns those that were used and are gone.
func (n *names) keep(now []Name) (gone []key) {
	clear(n.present)
	for i := range now {
		n.present[key{now[i].Tenant, now[i].Name}] = true
	}
	for k := range n.used {
		if n.present[k] {
			continue
		}
		gone = append(gone, k)
		delete(n.used, k)
		if n.count[k.tenant]--; n.count[k.tenant] == 0 {
			delete(n.count, k.tenant)
		}
	}
	return gone
}

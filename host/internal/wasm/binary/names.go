package binary

import "strconv"

// names returns the name section: the module's name, and a name for each function that the module defines or the
// rewriting adds. One without a name is called by its number in the given module, as an engine would call it.
func (p *plan) names() []byte {
	module, given := p.givenNames()
	var list []byte
	count := uint32(0)
	add := func(index uint32, name string) {
		list = appendName(appendU32(list, index), name)
		count++
	}
	for i, name := range given {
		index := uint32(i)
		switch {
		case name == "" && index < p.tick:
			continue // its host names it
		case name == "":
			name = "$" + strconv.Itoa(i)
		}
		add(p.function(index), name)
	}
	for _, e := range p.extra {
		add(e.index, e.name)
	}
	out := appendName(nil, "name")
	if module != "" {
		name := appendName(nil, module)
		out = append(appendU32(append(out, 0), uint32(len(name))), name...)
	}
	list = append(appendU32(nil, count), list...)
	return append(appendU32(append(out, 1), uint32(len(list))), list...)
}

// givenNames reads the module's own name section. Names of functions that do not exist are left out.
func (p *plan) givenNames() (module string, functions []string) {
	functions = make([]string, p.m.functions())
	data, ok := p.m.Custom("name")
	if !ok {
		return "", functions
	}
	for r := (reader{b: data, end: len(data)}); r.left() > 0; {
		id := r.byte()
		part := reader{b: r.bytes(r.u32())}
		part.end = len(part.b)
		switch id {
		case 0:
			module = part.name()
		case 1:
			for range part.u32() {
				index, name := part.u32(), part.name()
				if part.err != nil {
					break
				}
				if uint64(index) < uint64(len(functions)) {
					functions[index] = name
				}
			}
		}
	}
	return module, functions
}

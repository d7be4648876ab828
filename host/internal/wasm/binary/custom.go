package binary

// custom reads a custom section. The name section is walked, since engines decode it: its counts must be true as well.
func (d *decoder) custom() {
	c := Custom{Name: d.r.name()}
	if len(d.m.Customs) >= MaxCustoms {
		d.r.exceed("custom sections", uint64(MaxCustoms)+1, MaxCustoms)
	}
	if d.r.err != nil {
		return
	}
	if c.Name == "name" {
		if _, twice := d.m.Custom("name"); twice {
			d.r.fail("the name section is repeated")
			return
		}
		start := d.r.pos
		d.nameSection()
		c.Data = d.r.b[start:d.r.end]
	} else {
		c.Data = d.r.bytes(uint32(d.r.left()))
	}
	d.m.Customs = append(d.m.Customs, c)
}

func (d *decoder) nameSection() {
	for d.r.err == nil && d.r.left() > 0 {
		id := d.r.byte()
		size := d.r.u32()
		if uint64(size) > uint64(d.r.left()) {
			d.r.fail("a part of the name section has %d bytes announced, %d left", size, d.r.left())
			return
		}
		outer := d.r.end
		d.r.end = d.r.pos + int(size)
		switch id {
		case 0:
			d.r.name()
		case 1:
			d.nameMap()
		case 2:
			d.localNames()
		default:
			d.r.pos = d.r.end
		}
		if d.r.err == nil && d.r.left() > 0 {
			d.r.fail("a part of the name section has %d bytes too many", d.r.left())
		}
		d.r.end = outer
	}
}

func (d *decoder) nameMap() {
	n := d.r.count("names", 2, MaxNames-d.names)
	d.names += n
	for range n {
		d.r.u32()
		d.r.name()
		if d.r.err != nil {
			return
		}
	}
}

func (d *decoder) localNames() {
	n := d.r.count("functions with local names", 2, MaxNames-d.names)
	d.names += n
	for range n {
		d.r.u32()
		d.nameMap()
		if d.r.err != nil {
			return
		}
	}
}

// Producer is a tool that took part in making the module.
type Producer struct {
	Field   string `json:"field"` // language, processed-by or sdk
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// maxProducers bounds what Producers returns.
const maxProducers = 64

// Producers reads the producers section. It is for people: one that is absent or malformed gives none.
func (m *Module) Producers() []Producer {
	data, ok := m.Custom("producers")
	if !ok {
		return nil
	}
	r := reader{b: data, end: len(data)}
	var found []Producer
	for range r.count("fields", 2, maxProducers) {
		field := r.name()
		for range r.count("values", 2, maxProducers) {
			found = append(found, Producer{Field: field, Name: r.name(), Version: r.name()})
			if len(found) > maxProducers || r.err != nil {
				return nil
			}
		}
	}
	if r.err != nil {
		return nil
	}
	return found
}

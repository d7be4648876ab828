//go:build !linux

package process

// cgroups and cgroup exist on Linux only; elsewhere both are nil and do nothing.
type (
	cgroups struct{}
	cgroup  struct{}
)

func openCgroups() *cgroups       { return nil }
func (g *cgroups) group() *cgroup { return nil }
func (g *cgroups) close()         {}
func (c *cgroup) remove()         {}

package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strings"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// sums are the bytes that tenants keep.
type sums struct {
	quota func(tenant string) flow.Size // 0 is no bound; nil for all

	mu sync.Mutex
	by map[string]*sum
}

// sum is what one tenant keeps. Its files are counted once, when somebody asks, and what comes and goes is counted along.
type sum struct {
	mu      sync.Mutex
	counted bool
	bytes   int64
}

// Bound sets the quotas of tenants; the function returns 0 for a tenant that has none. It is called before the first Put.
func (s *Store) Bound(quota func(tenant string) flow.Size) { s.sums.quota = quota }

// Kept returns how many bytes a tenant keeps.
func (s *Store) Kept(tenant string) (flow.Size, error) {
	k := s.sums.of(tenant)
	k.mu.Lock()
	defer k.mu.Unlock()
	err := s.count(tenant, k)
	return flow.Size(k.bytes), err
}

func (s *sums) of(tenant string) *sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.by[tenant]
	if k == nil {
		k = &sum{}
		if s.by == nil {
			s.by = map[string]*sum{}
		}
		s.by[tenant] = k
	}
	return k
}

// bound returns the quota of a tenant; 0 where it has none.
func (s *sums) bound(tenant string) int64 {
	if s.quota == nil {
		return 0
	}
	return int64(s.quota(tenant))
}

// count counts a tenant's artifacts, unless that was done. The caller holds k.mu.
func (s *Store) count(tenant string, k *sum) error {
	if k.counted {
		return nil
	}
	n := int64(0)
	err := fs.WalkDir(s.root.FS(), path.Join(tenant, "sha256"), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreGone(err)
		}
		info, err := entry.Info()
		if err == nil {
			n += info.Size()
		}
		return ignoreGone(err)
	})
	if err != nil {
		return ioFault("count artifacts", err)
	}
	k.counted, k.bytes = true, n
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// room returns how many bytes more a tenant may keep.
func (s *Store) room(tenant string) (int64, error) {
	quota := s.sums.bound(tenant)
	if quota == 0 {
		return math.MaxInt64 - 1, nil
	}
	k := s.sums.of(tenant)
	k.mu.Lock()
	defer k.mu.Unlock()
	err := s.count(tenant, k)
	if err == nil && k.bytes >= quota {
		err = s.full(tenant, 0)
	}
	return quota - k.bytes, err
}

// keep has a file given its name and counts it, unless the name was taken: content is kept once. Where the tenant has a
// quota, one file comes after the other. The caller holds names, so that nobody takes files away meanwhile.
func (s *Store) keep(tenant, final string, size int64, give func() error) error {
	k, quota := s.sums.of(tenant), s.sums.bound(tenant)
	if quota > 0 {
		k.mu.Lock()
		defer k.mu.Unlock()
	}
	_, known := s.root.Stat(final)
	fresh := known != nil
	if fresh && quota > 0 {
		if err := s.count(tenant, k); err != nil {
			return err
		}
		if k.bytes+size > quota {
			return s.full(tenant, quota-k.bytes)
		}
	}
	if err := give(); err != nil {
		return ioFault("put artifact", err)
	}
	if !fresh {
		return nil
	}
	if quota == 0 {
		k.mu.Lock()
		defer k.mu.Unlock()
	}
	k.add(size)
	return nil
}

func (k *sum) add(size int64) {
	if k.counted {
		k.bytes += size
	}
}

// removed is told of a file that was taken away.
func (s *Store) removed(name string, size int64) {
	if tenant, rest, _ := strings.Cut(name, "/"); strings.HasPrefix(rest, "sha256/") {
		k := s.sums.of(tenant)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.add(-size)
	}
}

func (s *Store) full(tenant string, room int64) error {
	return &flow.Error{
		Code: flow.CodeQuota, Op: "put artifact",
		Message: fmt.Sprintf("quota.artifacts of tenant %q is %s, and %s of it is left", tenant, flow.Size(s.sums.bound(tenant)), flow.Size(max(room, 0))),
		Hint:    "artifacts go with the runs that refer to them: keep fewer of those, or ask the operator to raise the quota",
	}
}

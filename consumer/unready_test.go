package consumer

import "testing"

// A stream is in the group's router before each partition has heard of it. Its key may be
// read in between.
func TestAKeyMayBeReadBeforeAPartitionHasHeardOfTheStream(t *testing.T) {
	g := &Group{partitions: map[int32]*partition{}}
	p := &partition{g: g}
	p.grow(3)
	g.partitions[0] = p
	s := &stream{index: 3}
	s.unready.Store(&unready{})
	g.tellUnready(s, nil)
	if s.unready.Load() != nil {
		t.Error("it is not ready yet")
	}
}

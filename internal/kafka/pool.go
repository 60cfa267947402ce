package kafka

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchPool keeps the memory of fetched batches, unpacked bytes and records, to be used
// again: without it they are most of the garbage that reading makes.
//
// What is not used for a while goes with the garbage, and nothing is ever lost by a record
// that is not recycled: its batch goes with the garbage as well.
type fetchPool struct {
	bytes   [poolClasses]sync.Pool // of *[]byte, by the class that their capacity reaches
	records [poolClasses]sync.Pool // of *[]kgo.Record, likewise
	ratio   atomic.Int64           // unpacked bytes for 256 packed ones, as the last batch had it
}

// Pooled are the options of a client whose reader calls Recycle on each record that it is
// through with. From then on the record's bytes are another batch's: nothing may refer to
// them any more.
func Pooled() []kgo.Opt {
	p := new(fetchPool)
	return []kgo.Opt{kgo.WithPools(p), kgo.WithHooks(p)}
}

// Sizes of what is kept, in bytes or records: four between each power of two and the next, so
// that at most a fifth of a batch's memory stays empty.
const (
	maxPooledSize = 16 << 20 // larger ones are not kept: one outsized batch must not stay
	poolClasses   = 4*24 + 1
)

// classOf is the smallest class whose size is at least n, and that size.
func classOf(n int) (class, size int) {
	if n <= 4 {
		return 4, 4
	}
	top := bits.Len(uint(n-1)) - 1 // n-1 has that many bits below its highest
	step := (n-1)>>(top-2) + 1     // 5 to 8 quarters of that power of two
	return 4*(top-1) + step - 4, step << (top - 2)
}

// within is the class of what has a capacity of n: the largest that it fills. It reports
// false for what is not kept.
func within(n int) (class int, ok bool) {
	if n < 4 || n > maxPooledSize {
		return 0, false
	}
	class, size := classOf(n)
	if size > n {
		class--
	}
	return class, true
}

// maxRatio bounds what a batch is expected to unpack to.
const maxRatio = 16

// GetDecompressBytes is memory for a batch to unpack into. A guess that is too small costs
// what there would be without a pool.
func (p *fetchPool) GetDecompressBytes(packed []byte, codec kgo.CompressionCodecType) []byte {
	class, size := classOf(p.unpacked(packed, codec))
	if size > maxPooledSize {
		return nil
	}
	if b, ok := p.bytes[class].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, size)
}

// overshoot is how far beyond the end of its output the decoder of zstd likes to write.
const overshoot = 16

// unpacked is how large a batch will be. Most clients say so in zstd; of other batches it is
// taken that they are like the one before.
func (p *fetchPool) unpacked(packed []byte, codec kgo.CompressionCodecType) int {
	if codec == kgo.CodecZstd {
		var h zstd.Header
		if err := h.Decode(packed); err == nil && h.HasFCS && h.FrameContentSize <= uint64(maxRatio*len(packed)) {
			return int(h.FrameContentSize) + overshoot //nolint:gosec // bounded
		}
	}
	return len(packed) * int(max(2<<8, p.ratio.Load())) >> 8
}

// PutDecompressBytes takes it back.
func (p *fetchPool) PutDecompressBytes(b []byte) {
	if class, ok := within(cap(b)); ok {
		p.bytes[class].Put(&b)
	}
}

// GetRecords is memory for the records of a batch.
func (p *fetchPool) GetRecords(n int) []kgo.Record {
	class, size := classOf(n)
	if size > maxPooledSize {
		return nil
	}
	if r, ok := p.records[class].Get().(*[]kgo.Record); ok {
		return *r
	}
	return make([]kgo.Record, 0, size)
}

// PutRecords takes it back.
func (p *fetchPool) PutRecords(r []kgo.Record) {
	if class, ok := within(cap(r)); ok {
		p.records[class].Put(&r)
	}
}

// OnFetchBatchRead learns how much batches unpack to.
func (p *fetchPool) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	if m.CompressedBytes > 0 {
		p.ratio.Store(int64(min(maxRatio<<8, (m.UncompressedBytes<<8)/m.CompressedBytes)))
	}
}

package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// FetchOptions are how the events topic is read for delivery: large enough that a fetch
// is cheap per event, small enough that what waits in the client stays within
// brokers × FetchMaxBytes.
func FetchOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.FetchMaxBytes(8 << 20),
		kgo.FetchMaxPartitionBytes(1 << 20),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.FetchMinBytes(1),
	}
}

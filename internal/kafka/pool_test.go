package kafka

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"
)

func TestClassesWasteAtMostAFifth(t *testing.T) {
	last := 0
	for n := 1; n <= maxPooledSize; n += 1 + n/1000 {
		class, size := classOf(n)
		switch again, same := classOf(size); {
		case size < n, n > 16 && size-n > n/4:
			t.Fatalf("%d bytes get %d", n, size)
		case class < last:
			t.Fatalf("%d bytes are of class %d, fewer of class %d", n, class, last)
		case again != class || same != size:
			t.Fatalf("%d bytes are of class %d and size %d, so many of class %d and size %d", n, class, size, again, same)
		}
		if filled, ok := within(size); !ok || filled != class {
			t.Fatalf("what was made for class %d comes back to class %d", class, filled)
		}
		// What has grown has any size: it must hold what is asked of the class that it comes back to.
		if filled, ok := within(n); ok && n > 4 {
			if needs, _ := classOf(n); filled > needs || filled < needs-1 {
				t.Fatalf("%d bytes, of class %d, come back to class %d", n, needs, filled)
			}
		}
		last = class
	}
	if class, _ := classOf(maxPooledSize); class >= poolClasses {
		t.Fatalf("the largest has class %d", class)
	}
	if _, ok := within(maxPooledSize + 1); ok {
		t.Error("what is too large is kept")
	}
}

// TestPooledMemoryHoldsOneBatchAtATime reads batches of every codec, small and large, through
// one pool, again and again into the memory of others.
func TestPooledMemoryHoldsOneBatchAtATime(t *testing.T) {
	broker, err := StartEmbedded(EmbeddedConfig{Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	const rounds = 30
	value := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%06d,", i), 1+(i*i)%900) }
	admin, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := kadm.NewClient(admin).CreateTopic(t.Context(), 1, 1, nil, "pooled"); err != nil {
		t.Fatal(err)
	}
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	sent := 0
	for i, codec := range codecs {
		client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.DefaultProduceTopic("pooled"), kgo.ProducerBatchCompression(codec))
		if err != nil {
			t.Fatal(err)
		}
		for round := range rounds {
			var batch []*kgo.Record
			for range 1 + (round*7+i)%40 {
				batch = append(batch, &kgo.Record{Value: value(sent), Key: fmt.Append(nil, sent), Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, sent)}}})
				sent++
			}
			if err := client.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		client.Close()
	}
	client, err := kgo.NewClient(append(Pooled(), kgo.SeedBrokers(broker.Addr()), kgo.ConsumeTopics("pooled"), kgo.FetchMaxPartitionBytes(8<<10))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for again := range 3 {
		read(t, client, sent, value)
		if again < 2 {
			client.SetOffsets(map[string]map[int32]kgo.EpochOffset{"pooled": {0: {Epoch: -1, Offset: 0}}})
		}
	}
}

// read reads n records from the beginning and recycles each when it was looked at.
func read(t *testing.T, client *kgo.Client, n int, value func(int) []byte) {
	t.Helper()
	for next := 0; next < n; {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			if next < n { // the embedded broker may repeat the end after the offset was set
				number := fmt.Append(nil, next)
				if r.Offset != int64(next) || !bytes.Equal(r.Value, value(next)) || !bytes.Equal(r.Key, number) ||
					len(r.Headers) != 1 || !bytes.Equal(r.Headers[0].Value, number) {
					t.Fatalf("record %d has key %q and %d bytes where %d was expected", r.Offset, r.Key, len(r.Value), next)
				}
			}
			next++
			r.Recycle()
		}
	}
}

// TestWhatABatchUnpacksToIsKnown has the decoder of zstd find memory of the right size.
func TestWhatABatchUnpacksToIsKnown(t *testing.T) {
	compressor, err := kgo.DefaultCompressor(kgo.ZstdCompression())
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.Repeat([]byte("0123456789abcdef"), 100)
	packed, codec := compressor.Compress(new(bytes.Buffer), plain)
	p := new(fetchPool)
	if codec != kgo.CodecZstd {
		t.Fatalf("compressed with %d", codec)
	}
	if len(packed)*maxRatio < len(plain) {
		packed = append(packed, make([]byte, len(plain)/maxRatio)...) // as a batch that packs less well
	}
	if got := p.unpacked(packed, codec); got != len(plain)+overshoot {
		t.Errorf("a batch of %d bytes is expected to have %d", len(plain), got)
	}
	p.OnFetchBatchRead(kgo.BrokerMetadata{}, "", 0, kgo.FetchBatchMetrics{CompressedBytes: 100, UncompressedBytes: 550})
	if got := p.unpacked(make([]byte, 1000), kgo.CodecGzip); got != 5500 {
		t.Errorf("1,000 bytes are expected to unpack to %d, as the batch before did to 5.5 times", got)
	}
	if got := p.unpacked([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, kgo.CodecZstd); got > 13*maxRatio {
		t.Errorf("a batch that lies about its size is believed: %d bytes", got)
	}
}

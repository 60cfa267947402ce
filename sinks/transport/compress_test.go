package transport

import (
	"bytes"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func TestAllClientsOfAPackingShareAFewWriters(t *testing.T) {
	unpackers := map[packing]func(io.Reader) (io.Reader, error){
		{Gzip, 2}: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		{encoding: Zstd}: func(r io.Reader) (io.Reader, error) {
			d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
			return d, err
		},
	}
	for p, unpack := range unpackers {
		t.Run(p.encoding, func(t *testing.T) { shareWriters(t, p, unpack) })
	}
}

func shareWriters(t *testing.T, p packing, unpack func(io.Reader) (io.Reader, error)) {
	t.Helper()
	one, err := newCompressor(p)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newCompressor(p)
	if err != nil {
		t.Fatal(err)
	}
	if one != other {
		t.Error("two clients of one level have writers of their own")
	}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			want := strings.Repeat("event "+strconv.Itoa(i)+" ", 10_000)
			half := len(want) / 2
			packed, err := one.pack([][]byte{[]byte(want[:half]), []byte(want[half:])})
			if err != nil {
				t.Error(err)
				return
			}
			defer one.release(packed)
			r, err := unpack(bytes.NewReader(packed.Bytes()))
			if err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(r)
			if err != nil || string(got) != want {
				t.Errorf("body %d came back as %d bytes, %v; want the %d that were packed", i, len(got), err, len(want))
			}
		})
	}
	wg.Wait()
	if n := len(one.idle); n < 1 || n > runtime.GOMAXPROCS(0) {
		t.Errorf("%d writers after 64 packings, want at most one for each of %d processors", n, runtime.GOMAXPROCS(0))
	}
	if n := len(one.turns); n != 0 {
		t.Errorf("%d turns are still taken", n)
	}
}

func TestCompressorRefusesALevelThatIsNone(t *testing.T) {
	for _, level := range []int{-2, 0, 10} {
		if c, err := newCompressor(packing{Gzip, level}); err == nil || c != nil {
			t.Errorf("level %d: %v, %v; want an error", level, c, err)
		}
	}
}

package units_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/units"
)

func TestDuration(t *testing.T) {
	for _, test := range []struct {
		in   string // JSON
		want time.Duration
		out  string
		err  string
	}{
		{in: `"250ms"`, want: 250 * time.Millisecond, out: "250ms"},
		{in: `"1m30s"`, want: 90 * time.Second, out: "1m30s"},
		{in: `"60s"`, want: time.Minute, out: "1m"},
		{in: `"1.5h"`, want: 90 * time.Minute, out: "1h30m"},
		{in: `"1h0m5s"`, want: time.Hour + 5*time.Second, out: "1h0m5s"},
		{in: `"10s"`, want: 10 * time.Second, out: "10s"},
		{in: `"100m"`, want: 100 * time.Minute, out: "1h40m"},
		{in: `"168h"`, want: 168 * time.Hour, out: "7d"},
		{in: `"7d"`, want: 168 * time.Hour, out: "7d"},
		{in: `"1d12h"`, want: 36 * time.Hour, out: "36h"},
		{in: `"0"`, out: "0s"},
		{in: `0`, out: "0s"},
		{in: `"0d"`, out: "0s"},
		{in: `30`, err: `"30" is not a duration: write a unit, as in 30s`},
		{in: `"30"`, err: "write a unit, as in 30s"},
		{in: `1.5`, err: "write a unit, as in 1.5s"},
		{in: `"-1s"`, err: "never negative"},
		{in: `"1d-1h"`, err: "never negative"},
		{in: `"1d+1h"`, err: "never negative"},
		{in: `"-1d"`, err: "write it as in"},
		{in: `"1h1d"`, err: "write it as in"},
		{in: `"d"`, err: "write it as in"},
		{in: `""`, err: "write it as in"},
		{in: `"1 s"`, err: "write it as in"},
		{in: `"soon"`, err: `"soon" is not a duration`},
		{in: `"106752d"`, err: "too long"},
		{in: `"106751d24h"`, err: "too long"},
		{in: `"999999999999999999999h"`, err: "write it as in"},
		{in: `true`, err: "is not a duration"},
		{in: `["1s"]`, err: "is not a duration"},
	} {
		t.Run(test.in, func(t *testing.T) {
			var got units.Duration
			err := json.Unmarshal([]byte(test.in), &got)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, error %v, want one with %q", got, err, test.err)
				}
				return
			}
			if err != nil || got.Std() != test.want || got.String() != test.out {
				t.Fatalf("got %v (%v), %v, want %v", got, got.Std(), err, test.out)
			}
		})
	}
}

func TestBytes(t *testing.T) {
	for _, test := range []struct {
		in   string // JSON
		want units.Bytes
		out  string
		err  string
	}{
		{in: `"8MiB"`, want: 8 << 20, out: "8MiB"},
		{in: `"1MB"`, want: 1_000_000, out: "1MB"},
		{in: `"5 MB"`, want: 5_000_000, out: "5MB"},
		{in: `"1024KiB"`, want: 1 << 20, out: "1MiB"},
		{in: `"1000kb"`, want: 1_000_000, out: "1MB"},
		{in: `"3gib"`, want: 3 << 30, out: "3GiB"},
		{in: `"2TiB"`, want: 2 << 40, out: "2TiB"},
		{in: `"2TB"`, want: 2e12, out: "2TB"},
		{in: `"17B"`, want: 17, out: "17B"},
		{in: `1048576`, want: 1 << 20, out: "1MiB"},
		{in: `"1500"`, want: 1500, out: "1500B"},
		{in: `0`, out: "0B"},
		{in: `9223372036854775807`, want: math.MaxInt64, out: "9223372036854775807B"},
		{in: `"8M"`, err: `"8M" is not a number of bytes: write a unit of`},
		{in: `"8Mbit"`, err: "write a unit of"},
		{in: `"1.5GiB"`, err: "write a whole number"},
		{in: `1.5`, err: "write a whole number"},
		{in: `1e6`, err: "write a whole number"},
		{in: `-1`, err: "negative"},
		{in: `"MiB"`, err: "write a whole number"},
		{in: `"8  MiB"`, err: "write a whole number"},
		{in: `"8 "`, err: "write a whole number"},
		{in: `""`, err: "write a whole number"},
		{in: `9223372036854775808`, err: "too large"},
		{in: `"8388608TiB"`, err: "too large"},
		{in: `false`, err: "is not a number of bytes"},
	} {
		t.Run(test.in, func(t *testing.T) {
			var got units.Bytes
			err := json.Unmarshal([]byte(test.in), &got)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, error %v, want one with %q", got, err, test.err)
				}
				return
			}
			if err != nil || got != test.want || got.String() != test.out {
				t.Fatalf("got %v (%d), %v, want %v", got, got, err, test.out)
			}
		})
	}
}

func TestNullLeavesTheDefault(t *testing.T) {
	settings := struct {
		Wait units.Duration
		Size units.Bytes
	}{units.Duration(time.Second), units.MiB}
	if err := json.Unmarshal([]byte(`{"Wait":null,"Size":null}`), &settings); err != nil {
		t.Fatal(err)
	}
	if settings.Wait.Std() != time.Second || settings.Size != units.MiB {
		t.Errorf("null changed a default: %v", settings)
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"250ms", "1m30s", "7d", "1d12h", "0", "106751d23h", "1h0m0.5s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := units.ParseDuration(s)
		if err != nil {
			return
		}
		if back, err := units.ParseDuration(d.String()); d < 0 || err != nil || back != d {
			t.Fatalf("%q is %d, printed %v, read back as %d, %v", s, d, d, back, err)
		}
	})
}

func FuzzBytes(f *testing.F) {
	for _, seed := range []string{"8MiB", "1MB", "0", "17 B", "9223372036854775807"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := units.ParseBytes(s)
		if err != nil {
			return
		}
		if back, err := units.ParseBytes(b.String()); b < 0 || err != nil || back != b {
			t.Fatalf("%q is %d, printed %v, read back as %d, %v", s, b, b, back, err)
		}
	})
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 entries", 1: "1 entry", 2: "2 entries", -1: "-1 entries", 1000: "1000 entries"} {
		if got := units.Count(n, "entry", "entries"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if got := units.Count(int64(1), "event was", "events were"); got != "1 event was" {
		t.Errorf("%q", got)
	}
}

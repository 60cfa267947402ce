package rfc3339

import (
	"errors"
	"regexp"
	"testing"
	"time"
)

func TestMillisAgreesWithTheStandardLibrary(t *testing.T) {
	for _, text := range []string{
		"1970-01-01T00:00:00Z", "2026-11-22T10:11:12.123Z", "2026-11-22T10:11:12.1Z", "2026-11-22T10:11:12.123999999Z",
		"2026-11-22T10:11:12+05:30", "2026-11-22T10:11:12.5-00:30", "1969-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z",
		"0000-02-29T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2000-02-29T00:00:00Z",
		"2024-02-29T12:00:00Z", "2026-11-22T10:11:12+24:00",
		"", "Z", "2026-11-22", "2026-11-22T10:11:12", "2026-11-22 10:11:12Z", "2026-11-22t10:11:12z",
		"2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z",
		"2026-11-22T10:11:60Z", "2026-11-22T10:11:12.Z", "2026-11-22T10:11:12Zx", "2026-11-22T10:11:12+0530",
		"2026-11-22T10:11:12+25:00", "2026-11-22T1a:11:12Z", "20e6-11-22T10:11:12Z",
	} {
		t.Run(text, func(t *testing.T) { compare(t, text) })
	}
}

func TestMillisOfEveryDay(t *testing.T) {
	for day := time.Date(0, 1, 1, 1, 2, 3, 0, time.UTC); day.Year() < 2800; day = day.AddDate(0, 0, 1) {
		if got, ok := Millis([]byte(day.Format(time.RFC3339))); !ok || got != day.UnixMilli() {
			t.Fatalf("Millis of %v: %d, %v; want %d", day, got, ok, day.UnixMilli())
		}
	}
}

func TestMillisAllocatesNothing(t *testing.T) {
	text := []byte("2026-11-22T10:11:12.123+05:30")
	if n := testing.AllocsPerRun(100, func() { Millis(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMillis(f *testing.F) {
	f.Add("2026-11-22T10:11:12.123Z")
	f.Add("2026-11-22T10:11:12.5-00:30")
	f.Add("2025-02-29T00:00:00Z")
	f.Fuzz(compare)
}

// strict is the grammar of RFC 3339, 5.6. Package time is lenient: it takes an hour of one
// digit, a comma before the fraction and an offset of 24:60.
var strict = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func compare(t *testing.T, text string) {
	t.Helper()
	got, ok := Millis([]byte(text))
	var want time.Time
	err := want.UnmarshalText([]byte(text))
	if err == nil && !strict.MatchString(text) {
		err = errors.New("package time is lenient")
	}
	if ok != (err == nil) {
		t.Fatalf("Millis(%q) is ok: %v; package time: %v", text, ok, err)
	}
	if ok && got != want.UnixMilli() {
		t.Fatalf("Millis(%q) = %d, want %d", text, got, want.UnixMilli())
	}
}

func BenchmarkMillis(b *testing.B) {
	text := []byte("2026-11-22T10:11:12.123Z")
	b.ReportAllocs()
	for b.Loop() {
		Millis(text)
	}
}

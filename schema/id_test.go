package schema

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNewID(t *testing.T) {
	// The time part of a ULID at known milliseconds; 1469918176385 is the ULID
	// specification's own example.
	tests := []struct {
		millis int64
		want   string
	}{
		{0, "audit_event_0000000000"},
		{1469918176385, "audit_event_01ARYZ6S41"},
		{1<<48 - 1, "audit_event_7ZZZZZZZZZ"},
		{-5, "audit_event_0000000000"},
	}
	for _, tt := range tests {
		id := NewID(time.UnixMilli(tt.millis))
		if !strings.HasPrefix(id, tt.want) || !isID(id, idPrefix) {
			t.Errorf("at %d: %s, want %s and 16 characters", tt.millis, id, tt.want)
		}
	}
}

func TestNewIDsDifferAndSortByTime(t *testing.T) {
	var ids []string
	start := time.UnixMilli(1469918176385)
	for i := range 1000 {
		ids = append(ids, NewID(start.Add(time.Duration(i)*time.Millisecond)))
	}
	if !slices.IsSorted(ids) {
		t.Error("ids of later milliseconds do not sort behind earlier ones")
	}
	seen := map[string]bool{}
	for range 1000 {
		seen[NewID(start)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different ids of 1000 in one millisecond", len(seen))
	}
}

// The values are part of the contract: an event published again after an upgrade must
// get the id that it got before.
func TestDerivedIDsAreStable(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"DeriveID", DeriveID("org_01JAAAAAAAAAAAAAAAAAAAAAAA", "key", []byte(`{}`)), "audit_event_0Y8PY6JG5Y4RBYPWMAAX17FGYF"},
		{"RecordID", RecordID("AAAAAAAAAAAAAAAAAAAAAA", 3, 12345), "audit_event_5KJ2K60BHJ1MMZPEYH1Y2WFV8X"},
		{"ForeignID", ForeignID("workos", "event_01"), "audit_event_YNFK00A7HFJFJT49XSPDC21ETS"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
		if !isID(tt.got, idPrefix) {
			t.Errorf("%s: %s has not the form of an id", tt.name, tt.got)
		}
	}
}

func TestDerivedIDsDiffer(t *testing.T) {
	ids := []string{
		DeriveID("a", "b", []byte("c")), DeriveID("a", "b", []byte("d")), DeriveID("a", "x", []byte("c")), DeriveID("x", "b", []byte("c")),
		DeriveID("ab", "", []byte("c")), DeriveID("", "ab", []byte("c")), DeriveID("a", "bc", nil),
		RecordID("a", 1, 2), RecordID("a", 2, 1), RecordID("b", 1, 2), RecordID("a", 12, 0), RecordID("a", 1, 20),
		ForeignID("a", "b"), ForeignID("ab", ""), ForeignID("record", "a"),
	}
	seen := map[string]int{}
	for i, id := range ids {
		if j, ok := seen[id]; ok {
			t.Errorf("ids %d and %d are both %s", j, i, id)
		}
		seen[id] = i
	}
}

func TestTheTimeOfAnIDIsReadBack(t *testing.T) {
	made := time.Date(2026, 11, 22, 10, 20, 30, 456_789_000, time.UTC)
	if at, ok := IDTime(NewID(made)); !ok || !at.Equal(made.Truncate(time.Millisecond)) {
		t.Errorf("got %s, %v; want %s", at, ok, made)
	}
	for _, none := range []string{"", "audit_event_", "event_1", "audit_event_01JABCDEFG", "audit_event_8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "audit_event_01jabcdefghjkmnpqrstvwxyz0", NewID(made) + "0"} {
		if at, ok := IDTime(none); ok {
			t.Errorf("%q has the time %s", none, at)
		}
	}
}

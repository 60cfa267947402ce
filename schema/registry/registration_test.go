package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRegistrationsFormat(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	list := []Registration{{Version: 1, At: at}, {Version: 3, At: at.Add(time.Second), By: "billing"}}
	value, err := EncodeRegistrations(list)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"version":1,"at":"2026-11-22T10:30:00Z"},{"version":3,"at":"2026-11-22T10:30:01Z","by":"billing"}]`
	if string(value) != want {
		t.Errorf("the format has changed: %s", value)
	}
	got, err := DecodeRegistrations(value)
	if diff := cmp.Diff(list, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := DecodeRegistrations([]byte(`{`)); err == nil {
		t.Error("what is no list was taken")
	}
}

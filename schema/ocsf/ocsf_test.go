package ocsf

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/internal/formattest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func format(tb testing.TB, version string) *Format {
	tb.Helper()
	f, err := New(Config{Version: version, Action: formattest.Catalogue(tb).Action})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestGolden(t *testing.T) { formattest.Golden(t, *update, format(t, "").Append) }

// Every action becomes the class and the activity that the catalogue gives it, whose
// numbers agree with each other.
func TestEveryActionKeepsItsClass(t *testing.T) {
	for _, version := range Versions() {
		f := format(t, version)
		for _, a := range formattest.Catalogue(t).Actions() {
			e, err := catalogue.Example(a)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Map(e)
			if err != nil {
				t.Fatal(err)
			}
			activity := a.OCSF.Activity
			if version < since(a.OCSF.Class, activity) {
				activity = other
			}
			if got.ClassUID != a.OCSF.Class || got.ActivityID != activity || got.TypeUID != a.OCSF.Class*100+activity || got.Metadata.Version != version {
				t.Errorf("%s %s: class %d, activity %d, type %d", version, a.Name, got.ClassUID, got.ActivityID, got.TypeUID)
			}
		}
	}
}

func TestMap(t *testing.T) {
	user := func(id, email string) *User { return &User{EmailAddr: email, Type: "User", TypeID: 1, UID: id} }
	tests := []struct {
		name, event string
		class       int
		activity    string
		status      string
		user        *User
		entity      *Entity
	}{
		{"an action that nobody knows, by its verb", `{"action":"project.deleted","targets":[{"id":"p1","type":"project","name":"Apollo"}]`, 3004, "Delete", "Unknown", nil, &Entity{"Apollo", "project", 99, "p1"}},
		{"without a verb", `{"action":"user.signed_in","organization_id":"org_1","targets":[]`, 3004, "Other", "Unknown", nil, &Entity{"", "Organization", 4, "org_1"}},
		{"without targets and organization", `{"action":"x","targets":[]`, 3004, "Other", "Unknown", nil, &Entity{"", "User", 2, "u1"}},
		{"a login is the actor's", `{"action":"auth.login.success","targets":[],"metadata":{"email":"a@example.com","method":"sso"}`, 3002, "Logon", "Success", user("u1", "a@example.com"), nil},
		{"a failed login is that of whom it names", `{"action":"auth.login.failure","targets":[{"id":"o1","type":"organization"}],"metadata":{"email":"m@example.com","reason":"locked"}`, 3002, "Logon", "Failure", &User{"m@example.com", "m@example.com", "User", 1, ""}, nil},
		{"a role without its name is an update of something", `{"action":"user.roleChange","targets":[{"id":"u2","type":"user"}]`, 3004, "Assign Privileges", "Success", nil, &Entity{"", "User", 2, "u2"}},
		{"a role of nobody, likewise", `{"action":"user.roleChange","targets":[{"id":"g1","type":"group"}],"metadata":{"to":"admin"}`, 3004, "Assign Privileges", "Success", nil, &Entity{"", "Group", 3, "g1"}},
		{"a group that is none, likewise", `{"action":"group.create","targets":[{"id":"o1","type":"organization"}]`, 3004, "Create", "Success", nil, &Entity{"", "Organization", 4, "o1"}},
		{"an unknown version of a known action", `{"action":"auth.logout","version":9,"targets":[]`, 3002, "Logoff", "Success", user("u1", ""), nil},
		{"the metadata says how it went: well", `{"action":"vault.byok_key.verification_completed","targets":[{"id":"k","type":"key"}],"metadata":{"verified":true}`, 3004, "Verify", "Success", nil, &Entity{"", "key", 99, "k"}},
		{"not well", `{"action":"vault.byok_key.verification_completed","targets":[{"id":"k","type":"key"}],"metadata":{"verified":false}`, 3004, "Verify", "Failure", nil, &Entity{"", "key", 99, "k"}},
		{"not said", `{"action":"vault.byok_key.verification_completed","targets":[{"id":"k","type":"key"}]`, 3004, "Verify", "Unknown", nil, &Entity{"", "key", 99, "k"}},
	}
	f := format(t, "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := schema.Decode([]byte(tt.event + `,"occurred_at":"2026-01-02T03:04:05.678Z","actor":{"id":"u1","type":"user"}}`))
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Map(e)
			if err != nil {
				t.Fatal(err)
			}
			if got.ClassUID != tt.class || got.ActivityName != tt.activity || got.Status != tt.status || got.Time != 1767323045678 {
				t.Errorf("class %d, activity %s, status %s, time %d", got.ClassUID, got.ActivityName, got.Status, got.Time)
			}
			if diff := cmp.Diff(tt.user, got.User); diff != "" {
				t.Errorf("user (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.entity, got.Entity); diff != "" {
				t.Errorf("entity (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingIsLeftOut(t *testing.T) {
	e, err := schema.Decode([]byte(`{"action":"a","occurred_at":"2026-01-02T03:04:05Z","version":2,"new":[1],"actor":{"id":"1","type":"user","role":"x","metadata":{"m":1.50}},` +
		`"targets":[{"id":"t","type":"thing","extra":true},{"id":"u","type":"thing"}],"context":{"location":"Berlin","device":"phone"},"metadata":{"k":{"l":"<b>"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	out, err := format(t, "").Append([]byte("before "), e)
	if err != nil {
		t.Fatal(err)
	}
	out, ok := bytes.CutPrefix(out, []byte("before "))
	if !ok {
		t.Fatalf("changed what was there before: %s", out)
	}
	var got struct {
		Unmapped json.RawMessage `json:"unmapped"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	want := `{"actor":{"id":"1","metadata":{"m":1.50},"role":"x","type":"user"},"context":{"device":"phone","location":"Berlin"},"metadata":{"k":{"l":"<b>"}},` +
		`"new":[1],"targets":[{"extra":true,"id":"t","type":"thing"},{"id":"u","type":"thing"}],"version":2}`
	if diff := cmp.Diff(want, string(got.Unmapped)); diff != "" {
		t.Errorf("unmapped (-want +got):\n%s", diff)
	}
}

func TestAnEventWithoutATimeIsRefused(t *testing.T) {
	before := []byte("before")
	out, err := format(t, "").Append(before, &schema.Event{Action: "a", OccurredAt: "noon"})
	violations, ok := errors.AsType[schema.Violations](err)
	if !ok || len(violations) != 1 || violations[0].Pointer != "/occurred_at" || string(out) != "before" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTheNumberInTheFeedIsTheSequence(t *testing.T) {
	e, err := schema.Decode([]byte(`{"action":"a","actor":{"id":"1","type":"user"},"occurred_at":"2026-01-02T03:04:05Z","targets":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	f := format(t, "")
	numbered, err := f.AppendNumbered([]byte("before "), e, 7)
	if err != nil || !bytes.Contains(numbered, []byte(`"vendor_name":"auditstream"},"sequence":7,"version":`)) {
		t.Errorf("%s, %v", numbered, err)
	}
	plain, err := f.AppendNumbered(nil, e, 0)
	if err != nil || bytes.Contains(plain, []byte("sequence")) {
		t.Errorf("without a number: %s, %v", plain, err)
	}
}

func TestUnknownVersionsAreRefused(t *testing.T) {
	if _, err := New(Config{Version: "1.3.0"}); err == nil {
		t.Error("1.3.0 has no actor in Entity Management, yet it is taken")
	}
}

func FuzzAppend(f *testing.F) {
	formattest.Events(f)
	o := format(f, "")
	f.Fuzz(func(t *testing.T, value []byte) {
		formattest.Canonical(t, value, o.Append)
		e, err := schema.Decode(value)
		if err != nil {
			return
		}
		out, err := o.Append(nil, e)
		if err != nil {
			return
		}
		var got Event
		d := json.NewDecoder(bytes.NewReader(out))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil || bytes.IndexByte(out, '\n') >= 0 || got.TypeUID != got.ClassUID*100+got.ActivityID {
			t.Fatalf("%q: %s, %v", value, out, err)
		}
		again, err := o.Append(nil, e)
		if err != nil || !bytes.Equal(out, again) {
			t.Fatalf("%q: once %s, then %s, %v", value, out, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	f := format(b, "")
	e, err := catalogue.Example(formattest.Catalogue(b).Action("user.roleChange", 0))
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Append(dst, e); err != nil {
			b.Fatal(err)
		}
	}
}

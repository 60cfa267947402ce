package workos

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
)

const (
	fallback = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	own      = "org_01JBBBBBBBBBBBBBBBBBBBBBBB"
)

// wrap makes an Event of the given data and, unless it is empty, context.
func wrap(event, data, context string) []byte {
	if context != "" {
		context = `,"context":` + context
	}
	return fmt.Appendf(nil, `{"object":"event","id":"event_1","event":%q,"created_at":"2026-01-02T03:04:05.000Z","data":%s%s}`, event, data, context)
}

func TestConvert(t *testing.T) {
	system := schema.Actor{ID: "workos", Type: "system", Name: "WorkOS"}
	metadata := func(pairs ...any) map[string]any {
		m := map[string]any{"workos_event_id": "event_1"}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	tests := []struct {
		name, event, data, context string
		want                       schema.Event
	}{
		{
			name: "a login that failed names whom it was tried for", event: "authentication.password_failed",
			data: `{"type":"password","status":"failed","ip_address":"192.0.2.1","user_agent":"curl","user_id":null,"email":"m@example.com","error":{"code":"invalid_credentials","message":"No."}}`,
			want: schema.Event{
				OrganizationID: fallback, Actor: schema.Actor{ID: "m@example.com", Type: "user"}, Targets: []schema.Target{},
				Context:  &schema.Context{Location: "192.0.2.1", UserAgent: "curl"},
				Metadata: metadata("type", "password", "status", "failed", "email", "m@example.com", "error_code", "invalid_credentials", "error_message", "No."),
			},
		},
		{
			name: "single sign-on: the user acts, connection and session are targets", event: "authentication.sso_succeeded",
			data: `{"type":"sso","status":"succeeded","user_id":"user_1","email":"a@example.com","sso":{"organization_id":"` + own + `","connection_id":"conn_1","session_id":"session_1"}}`,
			want: schema.Event{
				OrganizationID: own, Actor: schema.Actor{ID: "user_1", Type: "user"},
				Targets:  []schema.Target{{ID: "conn_1", Type: "connection"}, {ID: "session_1", Type: "session"}},
				Metadata: metadata("type", "sso", "status", "succeeded", "email", "a@example.com", "user_id", "user_1", "sso_connection_id", "conn_1", "sso_session_id", "session_1", "sso_organization_id", own),
			},
		},
		{
			name: "the impersonator acts, not the user", event: "session.created",
			data: `{"object":"session","id":"session_1","user_id":"user_1","organization_id":"` + own + `","impersonator":{"email":"s@example.com","reason":"Case 7"}}`,
			want: schema.Event{
				OrganizationID: own, Actor: schema.Actor{ID: "s@example.com", Type: "impersonator", Metadata: map[string]any{"reason": "Case 7"}},
				Targets:  []schema.Target{{ID: "session_1", Type: "session"}, {ID: "user_1", Type: "user"}},
				Metadata: metadata("user_id", "user_1"),
			},
		},
		{
			name: "the context's actor acts before all others", event: "organization_membership.created",
			data:    `{"object":"organization_membership","id":"om_1","user_id":"user_2","organization_id":"` + own + `","role":{"slug":"admin"},"directory_managed":false}`,
			context: `{"client_id":"client_1","actor":{"id":"user_9","source":"dashboard","name":"Ada"}}`,
			want: schema.Event{
				OrganizationID: own, Actor: schema.Actor{ID: "user_9", Type: "user", Name: "Ada", Metadata: map[string]any{"source": "dashboard"}},
				Targets:  []schema.Target{{ID: "om_1", Type: "organization_membership"}, {ID: "admin", Type: "role", Name: "admin"}, {ID: "user_2", Type: "user"}},
				Metadata: metadata("user_id", "user_2", "directory_managed", false, "role_slug", "admin"),
			},
		},
		{
			name: "a member's user does not act", event: "organization_membership.deleted",
			data: `{"object":"organization_membership","id":"om_1","user_id":"user_2"}`,
			want: schema.Event{
				OrganizationID: fallback, Actor: system,
				Targets:  []schema.Target{{ID: "om_1", Type: "organization_membership"}, {ID: "user_2", Type: "user"}},
				Metadata: metadata("user_id", "user_2"),
			},
		},
		{
			name: "an organization's own id", event: "organization.updated", data: `{"object":"organization","id":"` + own + `","name":"Acme","metadata":{"plan":"x"}}`,
			context: `{"actor":{"id":"admin_portal","source":"admin_portal","name":null}}`,
			want: schema.Event{
				OrganizationID: own, Actor: schema.Actor{ID: "admin_portal", Type: "admin_portal"},
				Targets: []schema.Target{{ID: own, Type: "organization", Name: "Acme"}}, Metadata: metadata("name", "Acme"),
			},
		},
		{
			name: "the organization of an object in the data, and every object a target", event: "dsync.group.user_added",
			data: `{"directory_id":"directory_1","user":{"object":"directory_user","id":"du_1","organization_id":"` + own + `","first_name":"Dana","last_name":"Li","raw_attributes":{"ssn":"1"}},"group":{"object":"directory_group","id":"dg_1","organization_id":"` + own + `","name":"Staff"}}`,
			want: schema.Event{
				OrganizationID: own, Actor: system,
				Targets: []schema.Target{{ID: "dg_1", Type: "directory_group", Name: "Staff"}, {ID: "du_1", Type: "directory_user", Name: "Dana Li"}, {ID: "directory_1", Type: "directory"}},
				Metadata: metadata("directory_id", "directory_1", "group_id", "dg_1", "group_name", "Staff", "group_organization_id", own,
					"user_id", "du_1", "user_first_name", "Dana", "user_last_name", "Li", "user_organization_id", own),
			},
		},
		{
			name: "the data's actor", event: "vault.data.read", data: `{"actor_id":"key_9","actor_source":"api","actor_name":"Billing","kv_name":"stripe","key_id":"key_1"}`,
			want: schema.Event{
				OrganizationID: fallback, Actor: schema.Actor{ID: "key_9", Type: "api", Name: "Billing"},
				Targets:  []schema.Target{{ID: "key_1", Type: "key"}, {ID: "stripe", Type: "vault_object"}},
				Metadata: metadata("kv_name", "stripe", "key_id", "key_1"),
			},
		},
		{
			name: "who accepts an invitation", event: "invitation.accepted", data: `{"object":"invitation","id":"inv_1","email":"n@example.com","inviter_user_id":"user_1","accepted_user_id":"user_2"}`,
			want: schema.Event{
				OrganizationID: fallback, Actor: schema.Actor{ID: "user_2", Type: "user"},
				Targets:  []schema.Target{{ID: "inv_1", Type: "invitation", Name: "n@example.com"}, {ID: "user_1", Type: "user"}},
				Metadata: metadata("email", "n@example.com", "inviter_user_id", "user_1", "accepted_user_id", "user_2"),
			},
		},
		{
			name: "an owner that is the organization", event: "api_key.created", data: `{"object":"api_key","id":"ak_1","name":"CI","obfuscated_value":"sk_...abc","owner":{"type":"organization","id":"` + own + `"}}`,
			want: schema.Event{
				OrganizationID: own, Actor: system, Targets: []schema.Target{{ID: "ak_1", Type: "api_key", Name: "CI"}},
				Metadata: metadata("name", "CI", "owner_type", "organization", "owner_id", own),
			},
		},
		{
			name: "nothing to aim at", event: "vault.names.listed", data: `{"actor_id":"user_1","actor_source":"dashboard","actor_name":"Ada"}`,
			want: schema.Event{
				OrganizationID: fallback, Actor: schema.Actor{ID: "user_1", Type: "user", Name: "Ada", Metadata: map[string]any{"source": "dashboard"}},
				Targets: []schema.Target{}, Metadata: metadata(),
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := wrap(tt.event, tt.data, tt.context)
			if !IsEvent(raw) {
				t.Error("not taken for an Event")
			}
			got, err := Convert(raw, fallback)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ID, tt.want.Action, tt.want.OccurredAt = schema.ForeignID("workos", "event_1"), tt.event, "2026-01-02T03:04:05.000Z"
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("audit event (-want +got):\n%s", diff)
			}
			if violations := got.Validate(); violations != nil {
				t.Error(violations)
			}
		})
	}
}

func TestSecretsAreNeverTakenOver(t *testing.T) {
	const secret = "S3CRET"
	members := []string{
		"token", "access_token", "refresh_token", "verification_token", "verification_prefix", "token_suffix", "password", "client_secret", "secrets",
		"code", "magic_code", "user_code", "otp", "totp", "key", "external_key", "api_key", "api_key_last_4", "obfuscated_value", "jti", "credentials",
		"cookie", "accept_invitation_url", "url", "magic_link", "assertion", "Token",
	}
	inner := map[string]any{}
	for _, name := range members {
		inner[name] = secret
	}
	data := map[string]any{"object": "thing", "id": "thing_1", "detail": inner, "code": inner}
	for _, name := range members {
		data[name] = secret
	}
	for _, name := range []string{"metadata", "raw_attributes", "custom_attributes", "additional_fields", "previous_attributes", "key_context"} {
		data[name] = map[string]any{"id": secret, "name": secret, "plain": secret, "organization_id": secret}
	}
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Convert(wrap("thing.created", string(raw), `{"access_token":"`+secret+`","previous_attributes":{"x":"`+secret+`"}}`), fallback)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.AppendCanonical(nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got), secret) {
		t.Errorf("a secret is in %s", got)
	}
}

func TestMetadataStaysWithinTheLimits(t *testing.T) {
	data := map[string]any{"long": strings.Repeat("é", 501), "with space": 1, strings.Repeat("n", 41): 1, strings.Repeat("m", 40): 1}
	for i := range 100 {
		data[fmt.Sprintf("z%03d", i)] = i
	}
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Convert(wrap("a.b", string(raw), ""), fallback)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Metadata) != 50 || e.Metadata["long"] != strings.Repeat("é", 500) || e.Metadata[strings.Repeat("m", 40)] == nil ||
		e.Metadata["with space"] != nil || e.Metadata[strings.Repeat("n", 41)] != nil || e.Metadata["workos_event_id"] != "event_1" {
		t.Errorf("%d members: %v", len(e.Metadata), e.Metadata)
	}
}

func TestConvertRefuses(t *testing.T) {
	tests := []struct {
		name, raw string
		want      schema.Violations
	}{
		{"nothing in it", `{}`, schema.Violations{
			{Pointer: "/event", Code: schema.CodeRequired, Message: "required"},
			{Pointer: "/id", Code: schema.CodeRequired, Message: "required"},
			{Pointer: "/created_at", Code: schema.CodeRequired, Message: "required"},
			{Pointer: "/data", Code: schema.CodeRequired, Message: "required"},
		}},
		{"wrong types", `{"event":1,"id":"","created_at":null,"data":[]}`, schema.Violations{
			{Pointer: "/event", Code: schema.CodeType, Message: "must be a string that is not empty"},
			{Pointer: "/id", Code: schema.CodeType, Message: "must be a string that is not empty"},
			{Pointer: "/created_at", Code: schema.CodeType, Message: "must be a string that is not empty"},
			{Pointer: "/data", Code: schema.CodeType, Message: "must be an object"},
		}},
		{"not an object", `[]`, schema.Violations{{Code: schema.CodeType, Message: "must be a WorkOS Event, which is an object"}}},
		{"not JSON", `{"event":`, schema.Violations{{Code: schema.CodeSyntax, Message: "unexpected end at byte 9"}}},
		{"a repeated name", `{"data":{"organization_id":"a","organization_id":"b"}}`, schema.Violations{{Pointer: "/data/organization_id", Code: schema.CodeDuplicate, Message: "the name stands here for the second time; send it once"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Convert([]byte(tt.raw), fallback)
			if diff := cmp.Diff(error(tt.want), err); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIsEvent(t *testing.T) {
	tests := map[string]bool{
		`{"event":"a.b","id":"1","data":{},"created_at":""}`: true,
		`{"event":1,"data":2}`:                               true, // meant to be one; Convert says what is wrong
		`{"event":"a","data":{},"action":"b"}`:               false,
		`{"action":"a","occurred_at":"b"}`:                   false,
		`{"event":"a"}`:                                      false,
		`{"Event":"a","Data":{}}`:                            false,
		`{"event":"a","data":{}`:                             false,
		`[]`:                                                 false,
		``:                                                   false,
	}
	for raw, want := range tests {
		if got := IsEvent([]byte(raw)); got != want {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add(wrap("session.created", `{"object":"session","id":"s","user_id":"u","impersonator":{"email":"e","reason":null},"sso":{"connection_id":"c"}}`, `{"actor":{"id":"a"}}`))
	f.Add([]byte(`{"event":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := Convert(raw, fallback)
		if err != nil {
			return
		}
		again, err := Convert(raw, fallback)
		if err != nil {
			t.Fatal(err)
		}
		a, errA := e.AppendCanonical(nil)
		b, errB := again.AppendCanonical(nil)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Fatalf("%q: %s, %v and %s, %v", raw, a, errA, b, errB)
		}
		for _, violation := range e.Validate() {
			if violation.Pointer != "/organization_id" && violation.Pointer != "/occurred_at" && violation.Code != schema.CodeTooLarge {
				t.Fatalf("%q: %v", raw, violation)
			}
		}
	})
}

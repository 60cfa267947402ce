package catalogue

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func embeddedCatalogue(tb testing.TB) *Catalogue {
	tb.Helper()
	c, err := Embedded()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// The actions that each source document names, and no others.
func TestEveryActionOfEverySource(t *testing.T) {
	want := map[string][]string{
		"sso": {"sso.view_settings", "sso.create_management_portal_url", "sso.delete_connection"},
		"auditstream": {
			"audit_log_stream.created", "audit_log_stream.updated", "audit_log_stream.paused", "audit_log_stream.resumed", "audit_log_stream.deleted",
			"audit_log_stream.tested", "audit_log_stream.replayed", "audit_log_stream.dead_letters_redriven", "audit_log_stream.portal_viewed",
			"audit_log_stream.skipped", "audit_log_stream.dead_letters_discarded",
			"audit_log_stream.job_stopped", "audit_log_stream.job_resumed", "audit_log_stream.job_forgotten",
			"audit_log_export.created", "audit_log_retention.updated",
		},
		"product": {
			"auth.login.success", "auth.login.failure", "auth.logout", "auth.impersonate",
			"auth.password.resetRequest", "auth.password.resetComplete", "auth.password.selfChange", "auth.password.adminChange",
			"auth.mfa.enable", "auth.mfa.disable", "auth.sso.deprovision", "auth.session.deleteAll",
			"api.key.enable", "api.key.regenerate", "developer.app.create", "developer.app.delete", "developer.app.resetSecret",
			"user.invite", "user.invite.resend", "user.invite.revoke", "user.disable", "user.roleChange", "user.accessChange",
			"org.requireMfa", "org.changeName", "org.delete",
			"group.create", "group.rename", "group.delete", "group.membersChange", "group.accessChange",
		},
		"workos": workosEvents(),
	}
	got := map[string][]string{}
	for _, f := range embeddedCatalogue(t).Families() {
		for _, a := range f.Actions {
			got[f.Source] = append(got[f.Source], a.Name)
		}
	}
	for _, source := range slices.Sorted(maps.Keys(want)) {
		slices.Sort(want[source])
		slices.Sort(got[source])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	if n := len(want["workos"]); n != 136 {
		t.Errorf("%d Events of WorkOS, there are 136", n)
	}
}

func workosEvents() []string {
	return []string{
		"action.authentication.denied", "action.user_registration.denied",
		"agent.blueprint.created", "agent.blueprint.deleted", "agent.blueprint.updated", "agent.instance.created", "agent.instance.deleted", "agent.instance.session.created", "agent.instance.session.revoked", "agent.registration.claim.attempt.created", "agent.registration.claim.completed", "agent.registration.created", "agent.registration.credential.issued", "agent.registration.deleted", "agent.registration.expired", "agent.registration.organization.switched", "agent.registration.refreshed", "agent.registration.revoked",
		"api_key.created", "api_key.revoked", "api_key.updated",
		"authentication.email_verification_failed", "authentication.email_verification_succeeded", "authentication.magic_auth_failed", "authentication.magic_auth_succeeded", "authentication.mfa_failed", "authentication.mfa_succeeded", "authentication.oauth_failed", "authentication.oauth_succeeded", "authentication.passkey_failed", "authentication.passkey_succeeded", "authentication.password_failed", "authentication.password_succeeded", "authentication.radar_risk_detected", "authentication.reauthentication_succeeded", "authentication.sso_failed", "authentication.sso_started", "authentication.sso_succeeded", "authentication.sso_timed_out",
		"connection.activated", "connection.deactivated", "connection.deleted", "connection.saml_certificate_renewal_required", "connection.saml_certificate_renewed",
		"dsync.activated", "dsync.deleted", "dsync.group.created", "dsync.group.deleted", "dsync.group.updated", "dsync.group.user_added", "dsync.group.user_removed", "dsync.token.created", "dsync.token.revoked", "dsync.user.created", "dsync.user.deleted", "dsync.user.updated",
		"email_verification.created",
		"feature_flags.flag.created", "feature_flags.flag.deleted", "feature_flags.flag.updated", "feature_flags.flag_rule.created", "feature_flags.flag_rule.deleted", "feature_flags.flag_rule.updated", "feature_flags.flag_target.created", "feature_flags.flag_target.deleted",
		"flag.created", "flag.deleted", "flag.rule_updated", "flag.updated",
		"group.created", "group.deleted", "group.member_added", "group.member_removed", "group.updated",
		"invitation.accepted", "invitation.created", "invitation.resent", "invitation.revoked",
		"magic_auth.created",
		"organization.created", "organization.deleted", "organization.updated",
		"organization_domain.created", "organization_domain.deleted", "organization_domain.updated", "organization_domain.verification_failed", "organization_domain.verified",
		"organization_membership.created", "organization_membership.deleted", "organization_membership.updated",
		"organization_role.created", "organization_role.deleted", "organization_role.updated",
		"password_reset.created", "password_reset.succeeded",
		"permission.created", "permission.deleted", "permission.updated",
		"pipes.account_connection.add_failed", "pipes.account_connection.connected", "pipes.account_connection.connection_failed", "pipes.account_connection.disconnected", "pipes.account_connection.reauthorization_needed", "pipes.connected_account.connected", "pipes.connected_account.connection_failed", "pipes.connected_account.disconnected", "pipes.connected_account.reauthorization_needed",
		"radar.challenge_created",
		"resource_export.completed", "resource_export.created", "resource_export.downloaded", "resource_export.failed",
		"role.created", "role.deleted", "role.updated",
		"session.created", "session.revoked",
		"user.created", "user.deleted", "user.updated",
		"vault.byok_key.deleted", "vault.byok_key.verification_completed", "vault.data.created", "vault.data.deleted", "vault.data.read", "vault.data.updated", "vault.dek.decrypted", "vault.dek.read", "vault.dek.rekeyed", "vault.kek.created", "vault.kek.deleted", "vault.metadata.read", "vault.names.listed",
		"waitlist_user.approved", "waitlist_user.created", "waitlist_user.denied",
	}
}

func TestEveryActionIsWhole(t *testing.T) {
	titles := map[string]string{}
	for _, a := range embeddedCatalogue(t).Actions() {
		if a.Title == "" || a.Description == "" || a.Severity == "" || a.Outcome == "" || a.OCSF == nil || a.ECS == nil || a.CEF == nil || a.Metadata == nil || a.Actor == nil || a.Family == "" {
			t.Errorf("%s lacks something: %+v", a.Name, a)
		}
		if other := titles[a.Title]; other != "" {
			t.Errorf("%s has the title of %s: %q", a.Name, other, a.Title)
		}
		titles[a.Title] = a.Name
		if !strings.HasSuffix(a.Description, ".") {
			t.Errorf("%s: the description is no sentence: %q", a.Name, a.Description)
		}
		if s := a.OCSF.Subject; s != "" && s != "actor" && !slices.ContainsFunc(a.Targets, func(t Target) bool { return t.Type == s }) {
			t.Errorf("%s: its OCSF subject %q is no target type", a.Name, s)
		}
	}
}

func TestEveryExampleIsAValidEvent(t *testing.T) {
	for _, a := range embeddedCatalogue(t).Actions() {
		e, err := Example(a)
		if err != nil {
			t.Errorf("%s: %v", a.Name, err)
			continue
		}
		if violations := e.Validate(); violations != nil {
			t.Errorf("%s: %v", a.Name, violations)
		}
	}
}

func TestAction(t *testing.T) {
	one, three := &Action{Name: "a.b", Version: 1}, &Action{Name: "a.b", Version: 3}
	c, err := New([]*Family{{Name: "f", Actions: []*Action{three}}, {Name: "g", Actions: []*Action{one}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		version int
		want    *Action
	}{{"a.b", 0, three}, {"a.b", 1, one}, {"a.b", 2, nil}, {"a.b", 3, three}, {"a.b", 4, nil}, {"a.b", -1, nil}, {"a", 0, nil}} {
		if got := c.Action(tt.name, tt.version); got != tt.want {
			t.Errorf("%s %d: %+v", tt.name, tt.version, got)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	action := func(members string) string {
		return `{"family": "f", "title": "F", "actions": [{"action": "a.b", "version": 1, "targets": []` + members + `}]}`
	}
	tests := []struct{ name, text, want string }{
		{"no JSON", `{`, "x.json: unexpected EOF"},
		{"an unknown member", `{"family": "f", "colour": 1}`, "unknown field \"colour\""},
		{"two families", action("") + action(""), "something behind the family"},
		{"no name", `{"title": "F"}`, "family: required"},
		{"a null action", `{"family": "f", "actions": [null]}`, "an action is null"},
		{"a name with a space", strings.Replace(action(""), "a.b", "a b", 1), "a name is letters"},
		{"a name that ends in a dot", strings.Replace(action(""), "a.b", "a.", 1), "a name is letters"},
		{"version 0", strings.Replace(action(""), ": 1", ": 0", 1), "versions begin at 1"},
		{"a severity", action(`, "severity": "huge"`), `severity "huge" is unknown`},
		{"an outcome", action(`, "outcome": "maybe"`), `outcome "maybe" is unknown`},
		{"a target twice", strings.Replace(action(""), "[]", `[{"type": "x"}, {"type": "x"}]`, 1), `"x" stands twice`},
		{"a target without type", strings.Replace(action(""), "[]", `[{}]`, 1), "a target has no type"},
		{"any target, required", strings.Replace(action(""), "[]", `[{"type": "*", "required": true}]`, 1), "can ask for nothing"},
		{"an OCSF activity without its name", action(`, "ocsf": {"class": 3004, "activity": 99}`), "name an activity that is 99"},
		{"an ECS mapping of nothing", action(`, "ecs": {"category": [], "type": []}`), "category and type are needed"},
		{"a CEF severity", action(`, "cef": {"name": "x", "severity": 11}`), "severity of 0 to 10"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(fstest.MapFS{"x.json": {Data: []byte(tt.text)}, "y.txt": {Data: []byte("not read")}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	_, err := Read(fstest.MapFS{"x.json": {Data: []byte(action(""))}, "y.json": {Data: []byte(action(""))}})
	if want := `action "a.b" has version 1 twice, in the families f and f`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/sinks/all"
)

func TestAdmin(t *testing.T) {
	const head = "kafka: {brokers: [a:9092]}\nadmin:\n"
	for name, test := range map[string]struct {
		admin string
		wrong []string // paths
	}{
		"nothing":           {"  listen: 127.0.0.1:8082", nil},
		"loopback":          {`  listen: "[::1]:9000"`, nil},
		"this machine":      {"  listen: localhost:9000", nil},
		"everywhere":        {"  listen: 0.0.0.0:8082", []string{"admin.listen"}},
		"a name":            {"  listen: admin.example:8082", []string{"admin.listen"}},
		"no port":           {"  listen: 127.0.0.1", []string{"admin.listen"}},
		"by choice":         {"  {listen: 0.0.0.0:8082, insecure: true}", nil},
		"with TLS":          {"  {listen: 0.0.0.0:8082, tls: {cert_file: a, key_file: b}}", nil},
		"half of TLS":       {"  {listen: 0.0.0.0:8082, tls: {cert_file: a}}", []string{"admin.tls.key_file"}},
		"mutual TLS":        {"  {tls: {cert_file: a, key_file: b, client_ca_file: c}}", nil},
		"by choice of them": {"  {tls: {cert_file: a, key_file: b, client_ca_file: c, client_optional: true}}", nil},
		"without a CA":      {"  {tls: {cert_file: a, key_file: b, client_optional: true}}", []string{"admin.tls.client_optional"}},
		"a token":           {"  tokens: [{name: ops, token: {env: A}, role: operator}]", nil},
		"two of a caller":   {"  tokens: [{name: ops, token: {env: A}, role: admin}, {name: ops-2026, token: {file: /a}, role: admin}]", nil},
		"one name":          {"  tokens: [{name: ops, token: {env: A}, role: admin}, {name: ops, token: {env: B}, role: admin}]", []string{"admin.tokens[1].name"}},
		"no name":           {"  tokens: [{token: {env: A}, role: admin}]", []string{"admin.tokens[0].name"}},
		"a strange name":    {`  tokens: [{name: "a b", token: {env: A}, role: admin}]`, []string{"admin.tokens[0].name"}},
		"no token":          {"  tokens: [{name: ops, role: admin}]", []string{"admin.tokens[0].token"}},
		"a role":            {"  tokens: [{name: ops, token: {env: A}, role: root}]", []string{"admin.tokens[0].role"}},
		"confined":          {"  tokens: [{name: ops, token: {env: A}, role: admin, organizations: [org_01JAAAAAAAAAAAAAAAAAAAAAAA]}]", nil},
		"confined to none":  {"  tokens: [{name: ops, token: {env: A}, role: admin, organizations: []}]", []string{"admin.tokens[0].organizations"}},
		"confined to all":   {`  tokens: [{name: ops, token: {env: A}, role: admin, organizations: ["*"]}]`, []string{"admin.tokens[0].organizations[0]"}},
		"somebody's events": {"  organization: acme", []string{"admin.organization"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("test.yaml", []byte(head+test.admin+"\n"), all.Kinds())
			var got []string
			if problems, ok := errors.AsType[*config.Error](err); ok {
				for _, p := range problems.Problems {
					got = append(got, p.Path)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, test.wrong) {
				t.Errorf("%v, want %v\n%v", got, test.wrong, err)
			}
		})
	}
}

func TestATokenIsNoText(t *testing.T) {
	_, err := config.Parse("test.yaml", []byte("kafka: {brokers: [a:9092]}\nadmin: {tokens: [{name: ops, token: hunter2hunter2, role: admin}]}\n"), all.Kinds())
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

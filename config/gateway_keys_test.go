package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/sinks/all"
)

func TestWhoMayPublishThroughTheGateway(t *testing.T) {
	const (
		hash = `hash: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`
		tls  = "tls: {cert_file: a, key_file: b, client_ca_file: c}, "
	)
	for name, test := range map[string]struct {
		gateway string
		wrong   []string // paths
	}{
		"a key":                      {`keys: [{name: a, key: {env: A}, organizations: ["*"]}]`, nil},
		"a hash":                     {`keys: [{name: a, ` + hash + `, organizations: ["*"]}]`, nil},
		"both":                       {`keys: [{name: a, key: {env: A}, ` + hash + `, organizations: ["*"]}]`, []string{"gateway.keys[0].hash"}},
		"neither":                    {`keys: [{name: a, organizations: ["*"]}]`, []string{"gateway.keys[0].key"}},
		"a key for a hash":           {`keys: [{name: a, hash: ask_hunter2hunter2, organizations: ["*"]}]`, []string{"gateway.keys[0].hash"}},
		"half a hash":                {`keys: [{name: a, hash: "sha256:ba78", organizations: ["*"]}]`, []string{"gateway.keys[0].hash"}},
		"no organization":            {`keys: [{name: a, ` + hash + `}]`, []string{"gateway.keys[0].organizations"}},
		"two of one name":            {`keys: [{name: a, key: {env: A}, organizations: ["*"]}, {name: a, ` + hash + `, organizations: ["*"]}]`, nil},
		"of one rate":                {`keys: [{name: a, key: {env: A}, organizations: ["*"], limit: {per_second: 1}}, {name: a, ` + hash + `, organizations: ["*"], limit: {per_second: 1}}]`, nil},
		"of two rates":               {`keys: [{name: a, key: {env: A}, organizations: ["*"], limit: {per_second: 1}}, {name: a, ` + hash + `, organizations: ["*"]}]`, []string{"gateway.keys[1].limit"}},
		"an end":                     {`keys: [{name: a, ` + hash + `, organizations: ["*"], expires: 2027-01-31T00:00:00+02:00}]`, nil},
		"an end that is none":        {`keys: [{name: a, ` + hash + `, organizations: ["*"], expires: tomorrow}]`, []string{"gateway.keys[0].expires"}},
		"certificates":               {tls + `keys: [{name: a, ` + hash + `, organizations: ["*"], certificates: ["spiffe://a/b"]}]`, nil},
		"certificates, and no CA":    {`tls: {cert_file: a, key_file: b}, keys: [{name: a, ` + hash + `, organizations: ["*"], certificates: [b]}]`, []string{"gateway.keys[0].certificates"}},
		"no certificates":            {tls + `keys: [{name: a, ` + hash + `, organizations: ["*"], certificates: []}]`, []string{"gateway.keys[0].certificates"}},
		"certificates with a star":   {tls + `keys: [{name: a, ` + hash + `, organizations: ["*"], certificates: ["*.internal"]}]`, []string{"gateway.keys[0].certificates[0]"}},
		"rates":                      {`limits: {key: {per_second: 10, burst: 1}, organization: {per_second: 1}}`, nil},
		"a negative rate":            {`limits: {key: {per_second: -1}}`, []string{"gateway.limits.key.per_second"}},
		"a burst of nothing":         {`limits: {organization: {burst: 1}}`, []string{"gateway.limits.organization.burst"}},
		"a burst of a key":           {`keys: [{name: a, ` + hash + `, organizations: ["*"], limit: {per_second: 1, burst: -1}}]`, []string{"gateway.keys[0].limit.burst"}},
		"TLS, and everywhere":        {`listen: "0.0.0.0:8443", tls: {cert_file: a, key_file: b}`, nil},
		"everywhere, without TLS":    {`listen: "0.0.0.0:8443"`, []string{"gateway.listen"}},
		"half of TLS":                {`tls: {key_file: b}`, []string{"gateway.tls.cert_file"}},
		"who needs no certificate":   {`tls: {cert_file: a, key_file: b, client_optional: true}`, []string{"gateway.tls.client_optional"}},
		"connections":                {`connections: 300`, nil},
		"fewer than requests":        {`connections: 256`, []string{"gateway.connections"}},
		"far too many":               {`connections: 10000000`, []string{"gateway.connections"}},
		"a name that is none":        {`keys: [{name: "a b", ` + hash + `, organizations: ["*"]}]`, []string{"gateway.keys[0].name"}},
		"actions that allow nothing": {`keys: [{name: a, ` + hash + `, organizations: ["*"], actions: []}]`, []string{"gateway.keys[0].actions"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("test.yaml", []byte("kafka: {brokers: [a:9092]}\ngateway: {"+test.gateway+"}\n"), all.Kinds())
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
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows what may be the key: %v", err)
			}
		})
	}
}

package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
)

// parcel is a kind of destination with a field of every type that settings have.
type parcel struct {
	Address string            `json:"address"`
	Token   secret.Ref        `json:"token"`
	Wait    units.Duration    `json:"wait"`
	Size    units.Bytes       `json:"size"`
	Fast    bool              `json:"fast"`
	Count   uint8             `json:"count"`
	Ratio   float64           `json:"ratio"`
	Labels  map[string]string `json:"labels"`
	Via     []stop            `json:"via"`
	Door    *stop             `json:"door"`
	Ignored string            `json:"-"`
}

type stop struct {
	Name  string `json:"name"`
	Floor int    `json:"floor"`
}

func (p *parcel) Validate() error {
	var errs []error
	if p.Address == "" {
		errs = append(errs, &sinks.FieldError{Field: "address", Message: "is required"})
	}
	if p.Token.IsZero() {
		errs = append(errs, fmt.Errorf("wrapped: %w", &sinks.FieldError{Field: "token", Message: "is required"}))
	}
	for i, v := range p.Via {
		if v.Floor < 0 {
			errs = append(errs, &sinks.FieldError{Field: fmt.Sprintf("via[%d].floor", i), Message: "is below the ground"})
		}
	}
	return errors.Join(errs...)
}

func (p *parcel) Batching() sinks.Batching { return sinks.Batching{} }

type letter struct {
	Address string `json:"address"`
}

func (l *letter) Validate() error          { return nil }
func (l *letter) Batching() sinks.Batching { return sinks.Batching{} }

func kinds() []sinks.Kind {
	return []sinks.Kind{
		{Name: "letter", Defaults: func() sinks.Settings { return &letter{} }},
		{Name: "parcel", Defaults: func() sinks.Settings {
			return &parcel{Size: 8 * units.MiB, Fast: true, Door: &stop{Floor: 3}}
		}},
	}
}

func parse(text string) (*config.Config, error) {
	return config.Parse("audit.yaml", []byte(text), kinds())
}

func TestEveryFieldIsRead(t *testing.T) {
	got, err := parse(`
kafka:
  brokers: [127.0.0.1:9092, "[::1]:9092"]
  client_id: audit-1
  tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem, server_name: kafka}
  sasl: {mechanism: scram-sha-512, username: audit, password: {env: KAFKA_PASSWORD}}
topics: {prefix: a, partitions: 3, replication: 2, retention: 1d, dead_letter_retention: 36h, checkpoint_retention: 3650d}
integrity:
  key: {file: new}
  old_key: {file: old}
  interval: 30s
  archive:
    {bucket: acme-archive, region: eu-central-1, prefix: c/, endpoint: "https://s3.example", path_style: true, ca_file: ca.pem, access_key_id: A, secret_access_key: {env: S},
    role_arn: "arn:aws:iam::123456789012:role/a", external_id: xx, sts_endpoint: "https://sts.example", expected_bucket_owner: "123456789012", checksum: sha256,
    encryption: kms, kms_key_id: k, object_lock: compliance, retention: 365d, timeout: 9s, interval: 2h}
events: {organization_pattern: '^[a-z]+$', check: schema, unknown: reject, schemas: own, metadata_members: 7, metadata_name: '^m', metadata_text: 8, metadata_nested: true}
gateway:
  listen: 0.0.0.0:9002
  url: https://audit.acme.example
  keys:
    - {name: billing, key: {env: BILLING}, organizations: [acme], actions: [user.*], allow: [exports], expires: 2027-01-31T00:00:00Z, certificates: [a, b], limit: {per_second: 5, burst: 6}}
    - {name: web, hash: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", organizations: [acme]}
  limits: {key: {per_second: 1, burst: 2}, organization: {per_second: 3, burst: 4}}
  tls: {cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, client_optional: true}
  connections: 6
  insecure: true
  requests: 5
  memory: 32MiB
  timeout: 3s
  drain_timeout: 4s
  workos:
    organization: us
    organizations: [acme, us]
    webhook: {secrets: [{env: OLD}, {env: NEW}], tolerance: 1m}
    poll: {api_key: {file: key}, url: "https://workos.example", events: [user.created], backfill: 7d, interval: 30s}
  idempotency: {memory: 64MiB}
  spool: {dir: ./spool, max: 2GiB, after: 500ms}
delivery:
  instance_id: one
  memory: 1GiB
  commit_interval: 2s
  session_timeout: 30s
  drain_timeout: 0s
  in_flight: 7
  in_flight_slow: 90
  in_flight_per_stream: 3
  catch_up_share: 0.25
  rejections: 0
  retention_guard: 0.5
  retry: {min: 250ms, max: 1h}
  probe: 10m
observe: {listen: ":9000", max_streams: 9, pprof: true}
admin:
  listen: 0.0.0.0:9001
  tokens: [{name: ops, token: {env: OPS}, role: operator, organizations: [acme]}]
  tls: {cert_file: cert.pem, key_file: key.pem}
  insecure: true
  organization: us
log: {level: debug, format: console}
streams:
  - id: first
    organization_id: acme
    actions: [user.*, auth.logout]
    paused: true
    integrity: false
    start: 2026-11-01T02:00:00+02:00
    format: workos
    parcel:
      address: "0123"
      token: {file: /run/token}
      wait: 90s
      size: 1000
      fast: false
      count: 255
      ratio: 1
      labels: {b: x, "a b": no}
      via: [{name: here}, {floor: 2}]
  - id: second
    organization_id: "*"
    start: beginning
    letter: {}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Kafka: config.Kafka{Config: kafka.Config{
			Brokers:  []string{"127.0.0.1:9092", "[::1]:9092"},
			ClientID: "audit-1",
			TLS:      &kafka.TLS{CAFile: "ca.pem", CertFile: "cert.pem", KeyFile: "key.pem", ServerName: "kafka"},
			SASL:     &kafka.SASL{Mechanism: "scram-sha-512", Username: "audit", Password: secret.Ref{Env: "KAFKA_PASSWORD"}},
		}},
		Topics: config.Topics{
			Prefix: "a", Partitions: 3, Replication: 2,
			Retention: units.Duration(24 * time.Hour), DeadLetterRetention: units.Duration(36 * time.Hour),
			CheckpointRetention: units.Duration(3650 * 24 * time.Hour),
		},
		Integrity: config.Integrity{
			Key: secret.Ref{File: "new"}, OldKey: secret.Ref{File: "old"}, Interval: units.Duration(30 * time.Second),
			Archive: config.IntegrityArchive{
				ArchiveSettings: s3.ArchiveSettings{
					Bucket: "acme-archive", Region: "eu-central-1", Prefix: "c/", Endpoint: "https://s3.example", PathStyle: true, CAFile: "ca.pem",
					AccessKeyID: "A", SecretAccessKey: secret.Ref{Env: "S"}, RoleARN: "arn:aws:iam::123456789012:role/a", ExternalID: "xx",
					STSEndpoint: "https://sts.example", ExpectedBucketOwner: "123456789012", Checksum: "sha256", Encryption: "kms", KMSKeyID: "k",
					ObjectLock: "compliance", Retention: units.Duration(365 * 24 * time.Hour), Timeout: units.Duration(9 * time.Second),
				},
				Interval: units.Duration(2 * time.Hour),
			},
		},
		Events: config.Events{
			OrganizationPattern: regexp.MustCompile(`^[a-z]+$`), Check: "schema", Unknown: "reject", Schemas: "own",
			MetadataMembers: 7, MetadataName: regexp.MustCompile(`^m`), MetadataText: 8, MetadataNested: true,
		},
		Gateway: config.Gateway{
			Listen: "0.0.0.0:9002", URL: "https://audit.acme.example", Insecure: true, Connections: 6, Requests: 5, Memory: 32 * units.MiB,
			Timeout: units.Duration(3 * time.Second), DrainTimeout: units.Duration(4 * time.Second),
			Keys: []config.GatewayKey{
				{
					Name: "billing", Key: secret.Ref{Env: "BILLING"}, Organizations: []string{"acme"}, Actions: []string{"user.*"}, Allow: []string{"exports"},
					Expires: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), Certificates: []string{"a", "b"}, Limit: &config.Rate{PerSecond: 5, Burst: 6},
				},
				{Name: "web", Hash: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", Organizations: []string{"acme"}},
			},
			Limits:      config.GatewayLimits{Key: config.Rate{PerSecond: 1, Burst: 2}, Organization: config.Rate{PerSecond: 3, Burst: 4}},
			TLS:         &config.ServerTLS{CertFile: "cert.pem", KeyFile: "key.pem", ClientCAFile: "ca.pem", ClientOptional: true},
			Idempotency: config.Idempotency{Memory: 64 * units.MiB},
			Spool:       config.Spool{Dir: "./spool", Max: 2 * units.GiB, After: units.Duration(500 * time.Millisecond)},
			WorkOS: config.GatewayWorkOS{
				Organization: "us", Organizations: []string{"acme", "us"},
				Webhook: config.WorkOSWebhook{Secrets: []secret.Ref{{Env: "OLD"}, {Env: "NEW"}}, Tolerance: units.Duration(time.Minute)},
				Poll: config.WorkOSPoll{
					APIKey: secret.Ref{File: "key"}, URL: "https://workos.example", Events: []string{"user.created"},
					Backfill: units.Duration(7 * 24 * time.Hour), Interval: units.Duration(30 * time.Second),
				},
			},
		},
		Delivery: config.Delivery{
			InstanceID: "one", Memory: units.GiB, CommitInterval: units.Duration(2 * time.Second),
			SessionTimeout: units.Duration(30 * time.Second), InFlight: 7, InFlightSlow: 90, InFlightPerStream: 3, CatchUpShare: 0.25, RetentionGuard: 0.5,
			Retry: config.Retry{Min: units.Duration(250 * time.Millisecond), Max: units.Duration(time.Hour)},
			Probe: units.Duration(10 * time.Minute),
		},
		Admin: config.Admin{
			Listen: "0.0.0.0:9001", Insecure: true, Organization: "us", TLS: &config.ServerTLS{CertFile: "cert.pem", KeyFile: "key.pem"},
			Tokens: []config.AdminToken{{Name: "ops", Token: secret.Ref{Env: "OPS"}, Role: "operator", Organizations: []string{"acme"}}},
		},
		Observe: config.Observe{Listen: ":9000", MaxStreams: 9, PProf: new(true)},
		Log:     config.Log{Level: "debug", Format: "console"},
		Streams: []config.Stream{
			{
				ID: "first", OrganizationID: "acme", Actions: []string{"user.*", "auth.logout"}, Paused: true,
				Start: config.Start{Time: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}, Format: "workos", Kind: "parcel",
				Settings: &parcel{
					Address: "0123", Token: secret.Ref{File: "/run/token"}, Wait: units.Duration(90 * time.Second),
					Size: 1000, Count: 255, Ratio: 1, Labels: map[string]string{"b": "x", "a b": "no"},
					Via: []stop{{Name: "here"}, {Floor: 2}}, Door: &stop{Floor: 3},
				},
				Written: json.RawMessage(`{"address":"0123","count":255,"fast":false,"labels":{"a b":"no","b":"x"},"ratio":1,"size":1000,"token":{"file":"/run/token"},"via":[{"name":"here"},{"floor":2}],"wait":"90s"}`),
			},
			{
				ID: "second", OrganizationID: "*", Integrity: true, Start: config.Start{Beginning: true}, Format: "workos", Kind: "letter",
				Settings: &letter{}, Written: json.RawMessage(`{}`),
			},
		},
	}
	samePattern := cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want, got, samePattern); diff != "" {
		t.Error(diff)
	}
	// Delivery reads the settings from what was written, over the same defaults.
	for i, s := range got.Streams {
		settings := kinds()[1-i].Defaults()
		if err := json.Unmarshal(s.Written, settings); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.Settings, settings); diff != "" {
			t.Errorf("%s reads back otherwise: %s", s.Written, diff)
		}
	}
}

func TestAbsentFieldsKeepTheirDefaults(t *testing.T) {
	got, err := parse("kafka: {brokers: [a:1]}\nstreams: [{id: s, organization_id: '*', parcel: {address: a, token: {env: T}, door: {name: n}}}]\n")
	if err != nil {
		t.Fatal(err)
	}
	settings := &parcel{Address: "a", Token: secret.Ref{Env: "T"}, Size: 8 * units.MiB, Fast: true, Door: &stop{Name: "n", Floor: 3}}
	if diff := cmp.Diff(sinks.Settings(settings), got.Streams[0].Settings); diff != "" {
		t.Error(diff)
	}
	want := config.Defaults()
	want.Kafka.Brokers = []string{"a:1"}
	ignore := cmpopts.IgnoreFields(config.Config{}, "Streams", "Events")
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		t.Error(diff)
	}
	if got, want := got.Events.OrganizationPattern.String(), "^org_[A-Z0-9]{26}$"; got != want {
		t.Errorf("organization_pattern %s, want %s", got, want)
	}
	if s := got.Streams[0].Start; s != (config.Start{}) || s.String() != "now" {
		t.Errorf("a stream starts at %v, want now", s)
	}
}

func TestSectionWithoutLinesKeepsItsDefaults(t *testing.T) {
	got, err := parse(header + "log:\n  #level: debug\ndelivery:\n  retry:\n")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Defaults()
	if got.Log != want.Log || !reflect.DeepEqual(got.Delivery, want.Delivery) {
		t.Errorf("got %v and %v", got.Log, got.Delivery)
	}
}

func TestEmbeddedClusterHasOneReplica(t *testing.T) {
	got, err := parse("kafka: {embedded: {dir: ./data, port: 9092}}\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.Topics.Replication != 1 || *got.Kafka.Embedded != (config.Embedded{Dir: "./data", Port: 9092}) {
		t.Errorf("replication %d, embedded %v", got.Topics.Replication, got.Kafka.Embedded)
	}
}

func TestSettingsAreCanonicalWhateverTheirSpelling(t *testing.T) {
	var written []string
	for _, settings := range []string{
		"{token: {env: T}, address: 'é<', wait: 90s, ratio: 0.50}",
		"\n      ratio: .5\n      \"address\": \"\\xe9<\"\n      wait: '90s'\n      token:\n        env: T\n",
	} {
		c, err := parse("kafka: {brokers: [a:1]}\nstreams:\n  - id: s\n    organization_id: '*'\n    parcel: " + settings)
		if err != nil {
			t.Fatal(err)
		}
		written = append(written, string(c.Streams[0].Written))
	}
	want := `{"address":"é<","ratio":0.5,"token":{"env":"T"},"wait":"90s"}`
	if written[0] != want || written[1] != want {
		t.Errorf("written %q, want %s twice", written, want)
	}
}

func TestSecretsAreListedWithTheirPlace(t *testing.T) {
	c, err := parse(`
kafka: {brokers: [a:1], sasl: {mechanism: plain, username: u, password: {env: P}}}
streams:
  - {id: l, organization_id: '*', letter: {}}
  - {id: p, organization_id: '*', parcel: {address: a, token: {exec: [pass, show]}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.NamedSecret{
		{Path: "kafka.sasl.password", Ref: secret.Ref{Env: "P"}},
		{Path: "streams[1].parcel.token", Ref: secret.Ref{Exec: []string{"pass", "show"}}},
	}
	if diff := cmp.Diff(want, c.Secrets()); diff != "" {
		t.Error(diff)
	}
}

func TestAliasStandsForItsValue(t *testing.T) {
	c, err := parse(`
kafka: {brokers: [a:1]}
streams:
  - {id: a, organization_id: '*', parcel: &p {address: x, token: &t {env: T}}}
  - {id: b, organization_id: '*', parcel: *p}
  - {id: c, organization_id: '*', parcel: {address: y, token: *t}}
`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Streams[0].Settings, c.Streams[1].Settings); diff != "" {
		t.Error(diff)
	}
	if got, want := string(c.Streams[2].Written), `{"address":"y","token":{"env":"T"}}`; got != want {
		t.Errorf("written %s, want %s", got, want)
	}
}

func TestDestinationsAreIndependentOfEachOther(t *testing.T) {
	c, err := parse(`
kafka: {brokers: [a:1]}
streams:
  - {id: a, organization_id: '*', parcel: {address: x, token: {env: T}, size: 1MB}}
  - {id: b, organization_id: '*', parcel: {address: x, token: {env: T}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := c.Streams[1].Settings.(*parcel); !ok || b.Size != 8*units.MiB {
		t.Errorf("the second stream has the first one's settings: %v", c.Streams[1].Settings)
	}
}

func TestStart(t *testing.T) {
	for in, want := range map[string]config.Start{
		"now":                           {},
		"beginning":                     {Beginning: true},
		"2026-11-01T12:00:00Z":          {Time: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)},
		"2026-11-01T12:00:00.25Z":       {Time: time.Date(2026, 11, 1, 12, 0, 0, 250e6, time.UTC)},
		"2026-11-01T12:00:00.000+01:00": {Time: time.Date(2026, 11, 1, 11, 0, 0, 0, time.UTC)},
	} {
		var got config.Start
		if err := got.UnmarshalText([]byte(in)); err != nil || got != want {
			t.Errorf("%s is %v, %v, want %v", in, got, err, want)
		}
		var back config.Start
		if err := back.UnmarshalText([]byte(got.String())); err != nil || back != got {
			t.Errorf("%v read back as %v, %v", got, back, err)
		}
	}
	for _, in := range []string{"", "Now", "yesterday", "2026-11-01", "2026-11-01 12:00:00", "1960-01-01T00:00:00Z"} {
		if err := new(config.Start).UnmarshalText([]byte(in)); err == nil || !strings.Contains(err.Error(), "beginning") {
			t.Errorf("%q: error %v, want one that says what can be written", in, err)
		}
	}
}

// Package config turns one YAML file into values, strictly: an unknown key, a key
// written twice, a value of the wrong type or out of its range is an error with file,
// line, column and, where a name was misspelt, a suggestion; all of them at once.
//
// What can be set, with every default and unit, stands in [Reference]. A secret never
// stands in the file, only a reference to it; nothing here reads one.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"time"

	"github.com/auditstream/auditstream/internal/egress"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/schema/ocsf"
	"github.com/auditstream/auditstream/schema/registry"
)

// Config is everything that the file says, over the defaults.
type Config struct {
	Kafka     Kafka     `json:"kafka"`
	Topics    Topics    `json:"topics"`
	Sealing   Sealing   `json:"secrets"`
	Integrity Integrity `json:"integrity"`
	Events    Events    `json:"events"`
	Gateway   Gateway   `json:"gateway"`
	Delivery  Delivery  `json:"delivery"`
	Admin     Admin     `json:"admin"`
	Observe   Observe   `json:"observe"`
	Log       Log       `json:"log"`
	Streams   []Stream  `json:"streams,omitempty"`
}

// Kafka is the cluster to connect to, or the one to run in the same process: exactly
// one of Brokers and Embedded is set.
type Kafka struct {
	kafka.Config
	Embedded *Embedded `json:"embedded,omitempty"`
}

// Embedded is the broker inside the process, for evaluation, development and tests.
type Embedded struct {
	Dir  string `json:"dir"`            // where it keeps its data; made when missing
	Port uint16 `json:"port,omitempty"` // on 127.0.0.1; 0: any free one
}

// Topics says how the topics are named and, when they are missing, made.
type Topics struct {
	Prefix              string         `json:"prefix"`
	Partitions          int32          `json:"partitions"`
	Replication         int16          `json:"replication"` // copies of each partition
	Retention           units.Duration `json:"retention"`   // of events
	DeadLetterRetention units.Duration `json:"dead_letter_retention"`
	CheckpointRetention units.Duration `json:"checkpoint_retention"` // 0: for ever
}

// Kafka is the same for package internal/kafka.
func (t Topics) Kafka() kafka.Topics {
	return kafka.Topics{
		Prefix: t.Prefix, Partitions: t.Partitions, Replication: t.Replication,
		Retention: t.Retention.Std(), DeadLetterRetention: t.DeadLetterRetention.Std(), CheckpointRetention: t.CheckpointRetention.Std(),
	}
}

// Events says which events are valid, beyond what the schema fixes.
type Events struct {
	OrganizationPattern *regexp.Regexp `json:"organization_pattern"` // must match somewhere: anchor it
	Check               string         `json:"check"`                // one of Checks: how much publishing looks at
	Unknown             string         `json:"unknown"`              // with CheckSchema: one of registry.Policies, for actions without a schema
	Schemas             string         `json:"schemas,omitempty"`    // likewise: a folder of schemas, beside those of the binary and the cluster
	MetadataMembers     int            `json:"metadata_members"`     // likewise: the most in one metadata; 0: no bound
	MetadataName        *regexp.Regexp `json:"metadata_name"`        // likewise: that every name in metadata matches somewhere
	MetadataText        int            `json:"metadata_text"`        // likewise: characters of a text; 0: no bound
	MetadataNested      bool           `json:"metadata_nested"`      // likewise: objects and arrays may stand in metadata
}

// Delivery says how events are read and handed to destinations.
type Delivery struct {
	InstanceID        string         `json:"instance_id,omitempty"` // static membership in the consumer groups; hostname: the machine's name; empty: none
	Memory            units.Bytes    `json:"memory"`                // for the events that wait, of all streams together
	CommitInterval    units.Duration `json:"commit_interval"`
	SessionTimeout    units.Duration `json:"session_timeout"`      // after which Kafka gives a silent member's partitions away
	DrainTimeout      units.Duration `json:"drain_timeout"`        // for requests under way at shutdown
	InFlight          int            `json:"in_flight"`            // requests at once, over all destinations
	InFlightSlow      int            `json:"in_flight_slow"`       // of streams whose requests take more than a second
	InFlightPerStream int            `json:"in_flight_per_stream"` // requests at once of one stream
	CatchUpShare      float64        `json:"catch_up_share"`       // of what live traffic wants too
	Rejections        int            `json:"rejections"`           // events refused in a row after which a stream is held
	RetentionGuard    float64        `json:"retention_guard"`      // share of the topic's retention after which undelivered events are dead-lettered
	Retry             Retry          `json:"retry"`
	Probe             units.Duration `json:"probe"` // how often an invalid stream is tried
	Egress            Egress         `json:"egress"`
}

// Sealing is how secrets of streams are sealed that are made over an API, and how the
// records of all streams are signed.
type Sealing struct {
	Keys []seal.KeyConfig `json:"keys,omitempty"` // the first seals and signs, all open and verify
}

// Egress says which addresses destinations may have.
type Egress struct {
	Allow    []egress.Prefix `json:"allow,omitempty"`     // beside public ones; nil and empty differ: see egress.New
	AllowAPI []egress.Prefix `json:"allow_api,omitempty"` // likewise, of streams that are made over the API
}

// Retry bounds the pause before an attempt is repeated.
type Retry struct {
	Min units.Duration `json:"min"`
	Max units.Duration `json:"max"`
}

// Observe is where /healthz, /readyz and /metrics are served, and what.
type Observe struct {
	Listen     string `json:"listen"`      // host:port; empty: nowhere
	MaxStreams int    `json:"max_streams"` // with figures of their own
	PProf      *bool  `json:"pprof"`       // whether profiles are served; nil: where only this machine can ask for them
}

// ServesProfiles says whether profiles of the process are served. They tell much about it,
// and to make one costs CPU: a stranger must not get them by default.
func (o Observe) ServesProfiles() bool {
	if o.PProf != nil {
		return *o.PProf
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Log is what is logged, and how.
type Log struct {
	Level  string `json:"level"`  // one of Levels
	Format string `json:"format"` // one of LogFormats
}

// Levels are the values of Log.Level.
func Levels() []string { return []string{"debug", "info", "warn", "error"} }

// Checks are the values of Events.Check.
func Checks() []string { return []string{CheckEnvelope, CheckSchema} }

// How much of an event publishing looks at.
const (
	CheckEnvelope = "envelope" // what every event has
	CheckSchema   = "schema"   // also the schema of its action, and the limits of metadata
)

// LogFormats are the values of Log.Format.
func LogFormats() []string { return []string{"json", "console"} }

// Formats are the values of Stream.Format: how an event looks at the destination. OCSF
// may have its version behind it, as in ocsf-1.5.0.
func Formats() []string {
	formats := []string{FormatWorkOS, FormatOCSF, FormatECS, FormatCEF}
	for _, version := range ocsf.Versions() {
		formats = append(formats, FormatOCSF+"-"+version)
	}
	return formats
}

// The formats.
const (
	FormatWorkOS = "workos" // passes the event on as it was published
	FormatOCSF   = "ocsf"   // Open Cybersecurity Schema Framework
	FormatECS    = "ecs"    // Elastic Common Schema
	FormatCEF    = "cef"    // ArcSight's Common Event Format
)

// metadataName is what WorkOS asks of a name in metadata.
const metadataName = `^[a-zA-Z0-9_-]{0,40}$`

// organizationPattern is that of organization_id in the WorkOS Audit Log Event schema.
const organizationPattern = `^org_[A-Z0-9]{26}$`

// Defaults is the configuration of an empty file. It lacks what has no default: a
// cluster. With an embedded one, a file's default of topics.replication is 1.
func Defaults() *Config {
	return &Config{
		Kafka: Kafka{Config: kafka.Config{ClientID: "auditstream"}},
		Topics: Topics{
			Prefix:              kafka.DefaultPrefix,
			Partitions:          kafka.DefaultPartitions,
			Replication:         kafka.DefaultReplication,
			Retention:           units.Duration(kafka.DefaultRetention),
			DeadLetterRetention: units.Duration(kafka.DefaultDeadLetterRetention),
		},
		Integrity: defaultIntegrity(),
		Events: Events{
			OrganizationPattern: regexp.MustCompile(organizationPattern),
			Check:               CheckEnvelope, Unknown: string(registry.Accept), MetadataMembers: 50, MetadataText: 500,
			MetadataName: regexp.MustCompile(metadataName),
		},
		Gateway: Gateway{
			Listen: defaultGateway, Connections: 4096, Requests: 256, Memory: 128 * units.MiB, Timeout: seconds(10), DrainTimeout: seconds(15),
			WorkOS: GatewayWorkOS{
				Webhook: WorkOSWebhook{Tolerance: seconds(180)},
				Poll:    WorkOSPoll{URL: "https://api.workos.com", Backfill: units.Duration(maxBackfill), Interval: seconds(10)},
			},
			Idempotency: Idempotency{Memory: 128 * units.MiB}, Spool: Spool{Max: units.GiB, After: seconds(2)},
		},
		Delivery: Delivery{
			Memory:            256 * units.MiB,
			CommitInterval:    seconds(1),
			SessionTimeout:    seconds(10),
			DrainTimeout:      seconds(5),
			InFlight:          64,
			InFlightSlow:      1024,
			InFlightPerStream: 8,
			CatchUpShare:      0.5,
			Rejections:        100,
			RetentionGuard:    0.95,
			Retry:             Retry{Min: seconds(1), Max: seconds(300)},
			Probe:             seconds(60),
		},
		Admin:   Admin{Listen: defaultAdmin},
		Observe: Observe{Listen: "127.0.0.1:8081", MaxStreams: 2000},
		Log:     Log{Level: "info", Format: "json"},
	}
}

func seconds(n int) units.Duration { return units.Duration(n) * units.Duration(time.Second) }

// NamedSecret is a reference to a secret and where it stands.
type NamedSecret struct {
	Path string // as in problems: streams[1].splunk.token
	Ref  secret.Ref
}

// Secrets are all references to secrets that c holds, in the order of its fields.
func (c *Config) Secrets() []NamedSecret {
	secrets := secretsIn(nil, "", c)
	for i := range c.Streams {
		s := &c.Streams[i]
		secrets = secretsIn(secrets, fmt.Sprintf("streams[%d].%s", i, s.Kind), s.Settings)
	}
	return secrets
}

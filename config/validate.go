package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/registry"
	"github.com/auditstream/auditstream/sinks"
)

// streamID is what a stream may be called: it becomes part of paths and metric labels.
var streamID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// slips are characters of a glob that can only be a slip: the schema allows any text as an
// action, but a list written as one text would match nothing.
var slips = regexp.MustCompile(`[\s,\pC]`)

// maxGlob is what a glob may have in characters. It is no repetition in a pattern: to compile
// one of 256 takes longer than all else at the start of a command.
const maxGlob = 256

// Bounds of what a file may ask for.
const (
	minMemory = 16 * units.MiB // a few fetches of the largest event

	maxPartitions = 10_000

	// Kafka's own bounds: group.min.session.timeout.ms and group.max.session.timeout.ms.
	minSessionTimeout = 6 * time.Second
	maxSessionTimeout = 30 * time.Minute

	minCatchUpShare = 0.05
	maxCatchUpShare = 0.95
)

// violation is one that Validate found.
type violation func(path, format string, args ...any)

// Validate reports every violation, joined; each is a *sinks.FieldError whose Field is
// a path as in streams[1].splunk.token. It does no I/O.
func (c *Config) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, &sinks.FieldError{Field: path, Message: fmt.Sprintf(format, args...)})
	}
	c.Kafka.validate(bad)
	c.validateTopics(bad)
	if p := c.Events.OrganizationPattern; p == nil {
		bad("events.organization_pattern", "is required")
	}
	c.Events.validate(bad)
	c.Sealing.validate(bad)
	c.Integrity.validate(bad)
	c.Gateway.validate(c.Events.OrganizationPattern, bad)
	c.Delivery.validate(bad)
	c.Admin.validate(c.Events.OrganizationPattern, bad)
	if l := c.Observe.Listen; l != "" {
		if _, port, err := net.SplitHostPort(l); err != nil || !validPort(port) {
			bad("observe.listen", "%q is not HOST:PORT, as in 127.0.0.1:8081", l)
		}
	}
	if c.Observe.MaxStreams < 0 {
		bad("observe.max_streams", "is less than 0; 0 adds the figures of all streams up")
	}
	oneOf(bad, "log.level", c.Log.Level, Levels())
	oneOf(bad, "log.format", c.Log.Format, LogFormats())
	c.validateStreams(bad)
	return errors.Join(errs...)
}

func (e *Events) validate(bad violation) {
	oneOf(bad, "events.check", e.Check, Checks())
	var policies []string
	for _, p := range registry.Policies() {
		policies = append(policies, string(p))
	}
	oneOf(bad, "events.unknown", e.Unknown, policies)
	if e.MetadataName == nil {
		bad("events.metadata_name", "is required; .* takes any name")
	}
	for name, n := range map[string]int{"metadata_members": e.MetadataMembers, "metadata_text": e.MetadataText} {
		if n < 0 {
			bad("events."+name, "is less than 0; 0 is no bound")
		}
	}
}

func (s *Sealing) validate(bad violation) {
	for i, k := range s.Keys {
		path := fmt.Sprintf("secrets.keys[%d]", i)
		if err := seal.CheckID(k.ID); err != nil {
			bad(path+".id", "%v", err)
		}
		if slices.ContainsFunc(s.Keys[:i], func(o seal.KeyConfig) bool { return o.ID == k.ID }) {
			bad(path+".id", "is the id of another key too: what is sealed says only that which of them it was")
		}
		if err := k.Key.Check(); err != nil {
			bad(path+".key", "%v", err)
		}
	}
}

func (k *Kafka) validate(bad violation) {
	switch {
	case k.Embedded != nil && k.Brokers != nil:
		bad("kafka.embedded", "stands beside brokers; a configuration has one of them")
	case k.Embedded == nil && k.Brokers == nil:
		bad("kafka", "names no cluster; write brokers: [HOST:PORT], or embedded: {dir: DIR} to run one in this process")
	case k.Embedded != nil:
		if k.Embedded.Dir == "" {
			bad("kafka.embedded.dir", "is required: the directory for its data")
		}
		if k.TLS != nil {
			bad("kafka.tls", "goes with brokers; the embedded one is reached within the process")
		}
		if k.SASL != nil {
			bad("kafka.sasl", "goes with brokers; the embedded one is reached within the process")
		}
		return
	}
	cluster := k.Config
	for _, e := range fieldErrors(cluster.Validate()) {
		if e.Field != "brokers" || k.Brokers != nil { // said above
			bad(join("kafka", e.Field), "%s", e.Message)
		}
	}
}

func (c *Config) validateTopics(bad violation) {
	t := &c.Topics
	if t.Prefix == "" {
		bad("topics.prefix", "is empty")
	}
	if t.Partitions < 1 || t.Partitions > maxPartitions {
		bad("topics.partitions", "is not between 1 and %d", maxPartitions)
	}
	switch {
	case t.Replication < 1:
		bad("topics.replication", "is less than 1")
	case t.Replication > 1 && c.Kafka.Embedded != nil:
		bad("topics.replication", "is more than 1, and the embedded cluster has one broker")
	}
	for _, e := range fieldErrors(t.Kafka().Validate()) {
		if e.Field != "partitions" && e.Field != "replication" {
			bad(join("topics", e.Field), "%s", e.Message)
		}
	}
	// To package kafka the zero value is its default; here it was written.
	if t.Retention == 0 {
		bad("topics.retention", "is zero: nothing would be kept")
	}
	if t.DeadLetterRetention == 0 {
		bad("topics.dead_letter_retention", "is zero: nothing would be kept")
	}
}

func (d *Delivery) validate(bad violation) {
	if d.Memory < minMemory {
		bad("delivery.memory", "is less than %v", minMemory)
	}
	if d.InFlight < 1 {
		bad("delivery.in_flight", "is less than 1")
	}
	if d.InFlightSlow < 1 {
		bad("delivery.in_flight_slow", "is less than 1")
	}
	if !(d.CatchUpShare >= minCatchUpShare && d.CatchUpShare <= maxCatchUpShare) {
		bad("delivery.catch_up_share", "is not between %v and %v: neither live traffic nor backlogs may come to a stop", minCatchUpShare, maxCatchUpShare)
	}
	if d.InFlightPerStream < 1 {
		bad("delivery.in_flight_per_stream", "is less than 1")
	}
	if d.Rejections < 0 {
		bad("delivery.rejections", "is negative")
	}
	if !(d.RetentionGuard > 0 && d.RetentionGuard <= 1) {
		bad("delivery.retention_guard", "is not above 0 and up to 1")
	}
	if s := d.SessionTimeout.Std(); s < minSessionTimeout || s > maxSessionTimeout {
		bad("delivery.session_timeout", "is not between %v and %v, as Kafka demands",
			units.Duration(minSessionTimeout), units.Duration(maxSessionTimeout))
	}
	for _, f := range []struct {
		path  string
		value units.Duration
	}{
		{"commit_interval", d.CommitInterval},
		{"retry.min", d.Retry.Min},
		{"retry.max", d.Retry.Max},
		{"probe", d.Probe},
	} {
		if f.value.Std() < 10*time.Millisecond {
			bad("delivery."+f.path, "is less than 10ms")
		}
	}
	if d.Retry.Max < d.Retry.Min {
		bad("delivery.retry.max", "is less than min")
	}
	if d.DrainTimeout < 0 {
		bad("delivery.drain_timeout", "is negative")
	}
}

func (c *Config) validateStreams(bad violation) {
	seen := make(map[string]int, len(c.Streams))
	for i := range c.Streams {
		s := &c.Streams[i]
		path := fmt.Sprintf("streams[%d]", i)
		s.validate(path, c.Events.OrganizationPattern, bad)
		if first, ok := seen[s.ID]; ok && s.ID != "" {
			bad(path+".id", "is the id of streams[%d] too", first)
		} else {
			seen[s.ID] = i
		}
	}
}

func (s *Stream) validate(path string, organizations *regexp.Regexp, bad violation) {
	switch {
	case s.ID == "":
		bad(path+".id", "is required: a name for this stream")
	case !streamID.MatchString(s.ID):
		bad(path+".id", "is not 1 to 63 of the characters a-z, 0-9 and '-', the first being no '-'")
	}
	switch {
	case s.OrganizationID == "":
		bad(path+".organization_id", `is required; "*" is every organization`)
	case s.OrganizationID != AllOrganizations && organizations != nil && !organizations.MatchString(s.OrganizationID):
		bad(path+".organization_id", "does not match %v, so no event can have it; see events.organization_pattern", organizations)
	}
	if s.Actions != nil && len(s.Actions) == 0 {
		bad(path+".actions", "is an empty list, which matches nothing; remove it for all actions")
	}
	validateActions(s.Actions, path+".actions", bad)
	s.validateMask(path+".mask", bad)
	oneOf(bad, path+".format", s.Format, Formats())
	if s.Settings == nil {
		bad(path, "has no destination")
		return
	}
	if f, ok := s.Settings.(sinks.Formatted); ok {
		if err := f.CheckFormat(s.Format); err != nil {
			bad(path+".format", "%v", err)
		}
	}
	for _, e := range fieldErrors(s.Settings.Validate()) {
		bad(join(join(path, s.Kind), e.Field), "%s", e.Message)
	}
}

// validateActions refuses what can only be a slip in a list of actions.
func validateActions(globs []string, path string, bad violation) {
	for i, glob := range globs {
		if glob == "" || utf8.RuneCountInString(glob) > maxGlob || slips.MatchString(glob) {
			bad(fmt.Sprintf("%s[%d]", path, i), "is not an action such as user.invite or user.*")
		}
	}
}

func (s *Stream) validateMask(path string, bad violation) {
	if s.Mask != nil && len(s.Mask) == 0 {
		bad(path, "is an empty list, which masks nothing; remove it")
	}
	if len(s.Mask) > schema.MaxMaskRules {
		bad(path, "has more than %d rules", schema.MaxMaskRules)
	}
	for i, m := range s.Mask {
		at := fmt.Sprintf("%s[%d]", path, i)
		if m.With == "" {
			bad(at+".with", "is required: one of %s", strings.Join(schema.MaskWays(), ", "))
		} else {
			oneOf(bad, at+".with", m.With, schema.MaskWays())
		}
		err := schema.MaskRule{Pointer: m.Pointer, With: m.With}.Check()
		if e, ok := errors.AsType[*schema.MaskRuleError](err); ok && e.Field != "with" {
			bad(join(at, e.Field), "%s", e.Message)
		}
		switch hashes := m.With == schema.MaskHMAC; {
		case hashes && m.Key.IsZero():
			bad(at+".key", "is required with hmac: the secret that the values' hashes are made with, at least %d bytes", schema.MinMaskKey)
		case !hashes && !m.Key.IsZero():
			bad(at+".key", "goes with hmac only")
		}
	}
}

func oneOf(bad violation, path, got string, names []string) {
	if slices.Contains(names, got) {
		return
	}
	if meant := Closest(got, names); meant != "" {
		bad(path, "%q is unknown; did you mean %q?", got, meant)
		return
	}
	bad(path, "%q is unknown; there are: %s", got, strings.Join(names, ", "))
}

func validPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

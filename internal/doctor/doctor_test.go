package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/all"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clinic is a cluster and a configuration, healthy until a test makes them ill.
type clinic struct {
	t       *testing.T
	cluster *kfake.Cluster
	brokers []string
	client  *kgo.Client
	kafka   string // settings of the configuration under kafka, beside the brokers
	streams string

	integrity string // likewise, what signs checkpoints
}

func newClinic(t *testing.T, opts ...kfake.Opt) *clinic {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &clinic{t: t, cluster: cluster, brokers: cluster.ListenAddrs()}
}

// withTopics makes the topics, as delivery does.
func (c *clinic) withTopics(opts ...kgo.Opt) *clinic {
	c.t.Helper()
	var err error
	if c.client, err = kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.brokers...)}, opts...)...); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.client.Close)
	if err := kafka.EnsureTopics(c.t.Context(), kadm.NewClient(c.client), c.config().Topics.Kafka(), zap.NewNop()); err != nil {
		c.t.Fatal(err)
	}
	return c
}

func (c *clinic) config() *config.Config {
	c.t.Helper()
	text := fmt.Sprintf("kafka: {brokers: [%q]%s}\ntopics: {partitions: 2, replication: 1}\ndelivery: {memory: 16MiB}\n%s%s", c.brokers[0], c.kafka, c.integrity, c.streams)
	cfg, err := config.Parse("test.yaml", []byte(text), all.Kinds())
	if err != nil {
		c.t.Fatal(err)
	}
	return cfg
}

// set alters a setting of a topic.
func (c *clinic) set(topic, name, value string) {
	c.t.Helper()
	results, err := kadm.NewClient(c.client).AlterTopicConfigs(c.t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, topic)
	if err == nil {
		_, err = results.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// applied has the streams in force, of a process that was there and is gone.
func (c *clinic) applied() *clinic {
	c.t.Helper()
	ctx, stop := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	cfg := c.config()
	cfg.Observe.Listen = ""
	go func() { done <- app.Delivery{Config: cfg, Log: zap.NewNop()}.Run(ctx) }()
	o := c.operator(cfg)
	defer o.Close()
	c.await("the streams to be in force", func() bool {
		have, err := o.List(c.t.Context())
		ready := err == nil && len(have) == len(cfg.Streams)
		for _, s := range have {
			ready = ready && s.InForce
		}
		return ready
	})
	stop()
	if err := <-done; err != nil {
		c.t.Fatal(err)
	}
	return c
}

// await waits until ok.
func (c *clinic) await(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(3 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			c.t.Fatalf("still waiting for %s", what)
		}
	}
}

func (c *clinic) operator(cfg *config.Config) *app.Operator {
	c.t.Helper()
	o, err := app.Operate(c.t.Context(), cfg, zap.NewNop())
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

// examined are the findings of one check.
func (c *clinic) examined(check string, change ...func(*Config)) []Finding {
	c.t.Helper()
	cfg := Config{Config: c.config(), File: "test.yaml", Brokers: c.brokers, Timeout: 30 * time.Second}
	for _, f := range change {
		f(&cfg)
	}
	var of []Finding
	var log strings.Builder
	err := Run(c.t.Context(), cfg, func(f Finding) {
		fmt.Fprintf(&log, "%s %s: %s → %s\n", f.Status, f.Check, f.Found, f.Do)
		if f.Check == check {
			of = append(of, f)
		}
		if (f.Status == Fail || f.Status == Warn) && f.Do == "" {
			c.t.Errorf("nothing to do about %+v", f)
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Log(log.String())
	return of
}

// expect wants a finding of that status that says so.
func expect(t *testing.T, findings []Finding, status Status, parts ...string) {
	t.Helper()
	if !says(findings, status, parts...) {
		t.Errorf("no finding of status %s says %q: %+v", status, parts, findings)
	}
}

// says reports whether there is a finding of that status that says so.
func says(findings []Finding, status Status, parts ...string) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool {
		return f.Status == status && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(f.Found+" → "+f.Do, part) })
	})
}

func TestAHealthyClusterHasNoFindings(t *testing.T) {
	c := newClinic(t).withTopics()
	for _, f := range []string{"config", "secrets", "brokers", "versions", "topics", "replicas", "transactions", "streams", "retention", "dead letters"} {
		expect(t, c.examined(f), OK)
	}
	expect(t, c.examined("clock"), Skipped, "--write")
	expect(t, c.examined("clock", func(c *Config) { c.Write = true }), OK, "can be written in transactions")
	expect(t, c.examined("destinations"), Skipped, "--destinations")
	// What was written is not there for anybody.
	if o := c.operator(c.config()); o != nil {
		defer o.Close()
		if have, err := o.Streams(t.Context()); err != nil || len(have) != 0 {
			t.Errorf("%d streams, %v", len(have), err)
		}
	}
}

func TestSecrets(t *testing.T) {
	c := newClinic(t)
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("v3ry-s3cret"), 0o644); err != nil { //nolint:gosec // that is what is found
		t.Fatal(err)
	}
	t.Setenv("DOCTOR_SET", "v3ry-s3cret")
	c.streams = fmt.Sprintf(`streams:
  - {id: a, organization_id: "*", splunk: {url: "https://splunk.example", token: {env: DOCTOR_UNSET}}}
  - {id: b, organization_id: "*", splunk: {url: "https://splunk.example", token: {file: %q}}}
  - {id: c, organization_id: "*", splunk: {url: "https://splunk.example", token: {env: DOCTOR_SET}}}
`, open)
	found := c.examined("secrets")
	expect(t, found, Fail, "streams[0].splunk.token", "DOCTOR_UNSET")
	expect(t, found, Warn, "streams[1].splunk.token", open)
	for _, f := range found {
		if strings.Contains(fmt.Sprintf("%+v", f), "v3ry-s3cret") {
			t.Errorf("a secret is told: %+v", f)
		}
	}
}

func TestBrokersThatCannotBeTalkedTo(t *testing.T) {
	c := newClinic(t)
	c.brokers = append(c.brokers, fmt.Sprintf("127.0.0.1:%d", closedport.Find(t)))
	found := c.examined("brokers")
	expect(t, found, Fail, c.brokers[1]+": connection refused", "see that the broker runs")
	expect(t, found, OK, "1 broker") // the others are looked at all the same
	c.brokers = c.brokers[1:]
	expect(t, c.examined("streams"), Skipped, "Kafka cannot be asked")
	c.brokers = []string{"no-such-host.invalid:9092"}
	expect(t, c.examined("brokers"), Fail, "check the name")

	with := newClinic(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "ada", "right"))
	expect(t, with.examined("brokers"), Fail)
	t.Setenv("DOCTOR_PASSWORD", "wr0ng-passw0rd")
	with.kafka = ", sasl: {mechanism: plain, username: ada, password: {env: DOCTOR_PASSWORD}}"
	found = with.examined("brokers")
	expect(t, found, Fail, "another user, password or mechanism (kafka.sasl)")
	if strings.Contains(fmt.Sprint(found), "wr0ng-passw0rd") {
		t.Error("the password is told")
	}
	t.Setenv("DOCTOR_PASSWORD", "right")
	expect(t, with.examined("brokers"), OK, "as ada by plain")
}

func TestWhatToDoAboutABroker(t *testing.T) {
	for _, tt := range []struct {
		err  error
		says string
	}{
		{&net.DNSError{Err: "no such host", Name: "k"}, "check the name"},
		{x509.UnknownAuthorityError{}, "kafka.tls.ca_file"},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "k"}, "kafka.tls.server_name"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, "renew"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "speaks no TLS"},
		{kerr.SaslAuthenticationFailed, "check kafka.sasl"},
		{kerr.UnsupportedSaslMechanism, "kafka.sasl.mechanism"},
		{io.EOF, "hangs up"},
		{context.DeadlineExceeded, "firewall"},
		{errors.New("connection refused"), "see that the broker runs"},
	} {
		if got := remedyOf(fmt.Errorf("unable to dial: %w", tt.err)); !strings.Contains(got, tt.says) {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.says)
		}
	}
}

func TestABrokerThatNamesItselfByAnAddressThatNobodyReaches(t *testing.T) {
	c := newClinic(t)
	port := int32(closedport.Find(t))
	c.cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.cluster.KeepControl()
		resp := kmsg.NewPtrMetadataResponse()
		resp.Version = req.GetVersion()
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = 7, "127.0.0.1", port
		resp.Brokers, resp.ControllerID = append(resp.Brokers, b), 7
		for _, asked := range req.(*kmsg.MetadataRequest).Topics {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic, topic.ErrorCode = asked.Topic, kerr.UnknownTopicOrPartition.Code
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	expect(t, c.examined("brokers"), Fail, fmt.Sprintf("broker 7 names itself 127.0.0.1:%d: connection refused", port), "advertised.listeners")
}

func TestAnOldKafka(t *testing.T) {
	c := newClinic(t, kfake.MaxVersions(kversion.V3_0_0()))
	expect(t, c.examined("versions"), Fail, "upgrade to Kafka 3.1 or newer")
}

func TestTopics(t *testing.T) {
	expect(t, newClinic(t).examined("topics"), Fail, "missing: audit.events, audit.progress, ", "start delivery: it makes them")
	c := newClinic(t).withTopics()
	for _, tt := range []struct {
		topic, setting, value string
		status                Status
		says                  string
	}{
		{"audit.events", "retention.ms", "60000", Fail, "topic audit.events has retention.ms=60000, wanted 604800000 or more"},
		{"audit.events", "message.timestamp.type", "CreateTime", Fail, "wanted LogAppendTime"},
		{"audit.progress", "cleanup.policy", "delete", Fail, "wanted compact"},
		{"audit.dead_letters", "max.message.bytes", "1000", Fail, "would not fit with the headers of a dead letter"},
		{"audit.events", "retention.bytes", "1000000", Warn, "a limit in bytes"},
	} {
		c.set(tt.topic, tt.setting, tt.value)
		expect(t, c.examined("topics"), tt.status, tt.says, "kafka-configs.sh", "--add-config "+tt.setting+"=")
	}
	if _, err := kadm.NewClient(c.client).CreatePartitions(t.Context(), 1, "audit.events"); err != nil {
		t.Fatal(err)
	}
	expect(t, c.examined("topics"), Fail, "topic audit.progress has partitions=2, wanted 3 or more")
}

func TestPermissions(t *testing.T) {
	const sasl = ", sasl: {mechanism: plain, username: bob, password: {env: DOCTOR_PASSWORD}}"
	t.Setenv("DOCTOR_PASSWORD", "pw")
	may := func(op kmsg.ACLOperation, topic string) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	var acls []kfake.ACL
	for _, name := range (kafka.Topics{}).Names() {
		acls = append(acls, may(kmsg.ACLOperationRead, name), may(kmsg.ACLOperationDescribeConfigs, name))
		if name != "audit.progress" {
			acls = append(acls, may(kmsg.ACLOperationWrite, name))
		}
	}
	c := newClinic(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "pw"), kfake.User("PLAIN", "bob", "pw", acls...))
	c.kafka = strings.Replace(sasl, "bob", "root", 1)
	opts, err := c.config().Kafka.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	c.withTopics(opts...)
	expect(t, c.examined("permissions"), OK)
	c.kafka = sasl
	expect(t, c.examined("permissions"), Fail, "topic audit.progress: WRITE is not allowed", "allow WRITE")
}

// old is a record of an event from long ago. The broker of these tests keeps the time.
func (c *clinic) old(age time.Duration) {
	c.t.Helper()
	const organization = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	r := &kgo.Record{
		Topic: "audit.events", Key: []byte(organization), Timestamp: time.Now().Add(-age),
		Value: []byte(`{"action":"user.login","actor":{"id":"u","type":"user"},"id":"audit_event_00000000000000000000000001","occurred_at":"2026-11-01T00:00:00Z","organization_id":"` + organization + `","targets":[]}`),
	}
	if err := c.client.ProduceSync(c.t.Context(), r).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

func TestWhatWaitsForTooLong(t *testing.T) {
	c := newClinic(t).withTopics()
	c.streams = `streams: [{id: held, organization_id: "*", start: beginning, paused: true, splunk: {url: "http://127.0.0.1:1", token: {env: T}}}]`
	c.old(4 * 24 * time.Hour)
	c.applied()
	expect(t, c.examined("retention"), Warn, "held (paused): its oldest event has waited for more than 50 % of the 168h0m0s", "loss begins before")
	c.set("audit.events", "retention.ms", fmt.Sprint((100 * time.Hour).Milliseconds()))
	expect(t, c.examined("retention"), Fail, "more than 90 %")
	c.set("audit.events", "retention.ms", "-1")
	expect(t, c.examined("retention"), OK, "without end")
	expect(t, c.examined("groups"), Fail, "no process delivers the 1 stream of kind splunk (group auditstream.splunk)")
}

func TestStreamsInABadState(t *testing.T) {
	c := newClinic(t).withTopics()
	c.streams = fmt.Sprintf(`streams:
  - {id: down, organization_id: "*", start: beginning, splunk: {url: "http://127.0.0.1:%d", token: {env: DOCTOR_TOKEN}, linger: 0s}}
  - {id: locked, organization_id: "*", start: beginning, splunk: {url: "http://127.0.0.1:1", token: {env: DOCTOR_NONE}, linger: 0s}}
`, closedport.Find(t))
	t.Setenv("DOCTOR_TOKEN", "t")
	c.old(time.Minute)
	cfg := c.config()
	cfg.Observe.Listen = ""
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Delivery{Config: cfg, Log: zap.NewNop()}.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	o := c.operator(cfg)
	defer o.Close()
	c.await("one stream to be invalid, and one in error", func() bool {
		have, err := o.List(t.Context())
		return err == nil && len(have) == 2 && have[0].State == "invalid" && have[1].State == "error"
	})
	found := c.examined("streams")
	expect(t, found, Fail, "locked is invalid since", "DOCTOR_NONE", "auditstream stream test --config FILE locked")
	expect(t, found, Warn, "down is error since", "connection refused")
	expect(t, c.examined("groups"), OK, "auditstream.splunk: 1 member, auditstream@127.0.0.1")
}

func TestDeadLettersOfTheLastDay(t *testing.T) {
	c := newClinic(t).withTopics()
	c.streams = `streams: [{id: held, organization_id: "*", start: beginning, paused: true, splunk: {url: "http://127.0.0.1:1", token: {env: T}}}]`
	r := &kgo.Record{Topic: "audit.events", Key: []byte("org_1"), Value: []byte("no event")}
	if err := c.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	cfg := c.config()
	cfg.Observe.Listen = ""
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Delivery{Config: cfg, Log: zap.NewNop()}.Run(ctx) }()
	adm := kadm.NewClient(c.client)
	c.await("a letter", func() bool {
		ends, err := adm.ListEndOffsets(t.Context(), "audit.dead_letters")
		letters := int64(0)
		ends.Each(func(o kadm.ListedOffset) { letters += o.Offset })
		return err == nil && letters > 0
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expect(t, c.examined("dead letters"), Warn, "1 open ones of the last day: 1 no valid event, invalid", "auditstream deadletter list --since 24h")
}

func TestATransactionThatIsLeftOpen(t *testing.T) {
	c := newClinic(t).withTopics()
	writer, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.TransactionalID("somebody"), kgo.TransactionTimeout(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: "audit.events", Key: []byte("k"), Value: []byte("{}")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	expect(t, c.examined("transactions"), OK, "none is open for longer than 1m0s")
	c.cluster.ControlKey(int16(kmsg.DescribeProducers), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.cluster.KeepControl()
		resp := kmsg.NewPtrDescribeProducersResponse()
		resp.Version = req.GetVersion()
		for _, asked := range req.(*kmsg.DescribeProducersRequest).Topics {
			topic := kmsg.NewDescribeProducersResponseTopic()
			topic.Topic = asked.Topic
			for _, number := range asked.Partitions {
				p := kmsg.NewDescribeProducersResponseTopicPartition()
				p.Partition = number
				active := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
				active.ProducerID, active.CurrentTxnStartOffset, active.LastTimestamp = 17, 0, time.Now().Add(-time.Hour).UnixMilli()
				p.ActiveProducers = append(p.ActiveProducers, active)
				topic.Partitions = append(topic.Partitions, p)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	expect(t, c.examined("transactions"), Fail, "a transaction of producer 17 has been open since offset 0", "kafka-transactions.sh --bootstrap-server "+c.brokers[0]+" abort --topic audit.events")
}

// judged are the findings of a check that needs no cluster.
func judged(do func(*examiner)) []Finding {
	var out []Finding
	do(&examiner{report: func(f Finding) { out = append(out, f) }})
	return out
}

func TestClocks(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) []Finding {
		return judged(func(e *examiner) { e.clockOf(now, now.Add(d), now.Add(time.Second)) })
	}
	expect(t, at(500*time.Millisecond), OK)
	expect(t, at(-4*time.Second), OK)
	expect(t, at(61*time.Second), Warn, "the broker's clock is 1m0s ahead")
	expect(t, at(-time.Minute), Warn, "the broker's clock is 1m0s behind", "NTP")
}

func TestDisksAndFiles(t *testing.T) {
	disk := func(usable int64) []Finding {
		return judged(func(e *examiner) { e.disk("disks", "broker 1, /data", usable, 100<<20) })
	}
	if len(disk(50<<20)) != 0 {
		t.Error("half of a disk is too little")
	}
	expect(t, disk(5<<20), Warn, "broker 1, /data: 5.0 % is left (5 MiB)")
	expect(t, disk(1<<20), Fail, "1.0 % is left")
	expect(t, judged(func(e *examiner) { e.filesOf(100, 200) }), Warn, "100 may be open, and delivery may come to 200", "LimitNOFILE")
	expect(t, judged(func(e *examiner) { e.filesOf(200, 200) }), OK)
	if got := existing(filepath.Join(t.TempDir(), "not", "yet")); !strings.HasPrefix(got, os.TempDir()) {
		t.Errorf("the disk of %s", got)
	}
	if usable, total, err := diskSpace(t.TempDir()); err != nil || usable < 0 || total <= 0 || usable > total {
		t.Errorf("%d of %d, %v", usable, total, err)
	}
}

func TestTheLimitOfMemoryIsThatOfTheContainer(t *testing.T) {
	files := func(have map[string]string) func(string) ([]byte, error) {
		return func(name string) ([]byte, error) {
			if text, ok := have[name]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		}
	}
	for name, tt := range map[string]struct {
		have  map[string]string
		limit int64
		where string
	}{
		"cgroup 2":                 {map[string]string{"/sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20, "control group"},
		"cgroup 2 without a limit": {map[string]string{"/sys/fs/cgroup/memory.max": "max\n", "/proc/meminfo": "MemTotal:        1024 kB\n"}, 1 << 20, "the machine"},
		"cgroup 1":                 {map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n"}, 1 << 20, "control group"},
		"cgroup 1 without a limit": {map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0, ""},
		"none of them":             {nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			limit, where := memoryLimit(files(tt.have))
			if limit != tt.limit || !strings.Contains(where, tt.where) {
				t.Errorf("%d of %q", limit, where)
			}
		})
	}
}

// place is a destination whose settings say where it is.
type place struct{ origins []string }

func (p *place) Validate() error          { return nil }
func (p *place) Batching() sinks.Batching { return sinks.Batching{} }
func (p *place) Origins() []string        { return p.origins }

func TestDestinations(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is bound at once
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // nobody connects any more
	refused := fmt.Sprintf("http://127.0.0.1:%d", closedport.Find(t))
	c := newClinic(t)
	found := c.examined("destinations", func(cfg *Config) {
		cfg.Destinations = true
		cfg.Config.Streams = []config.Stream{{ID: "acme", Kind: "splunk", Settings: &place{[]string{
			"http://" + listener.Addr().String(), refused, "https://no-such-host.invalid", "http://169.254.169.254",
		}}}}
	})
	expect(t, found, OK, listener.Addr().String()+" (stream acme): 127.0.0.1 connects")
	expect(t, found, Fail, refused, "connection refused")
	expect(t, found, Fail, "no-such-host.invalid", "check the name")
	expect(t, found, Fail, "169.254.169.254", "metadata service", "delivery.egress.allow")
}

func TestAnExaminationEndsWithItsContext(t *testing.T) {
	c := newClinic(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Run(ctx, Config{Config: c.config(), Brokers: c.brokers, Timeout: time.Minute}, func(Finding) {})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

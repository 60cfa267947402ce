package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// signingKey makes a key in a file, and is the file's name and the public key.
func signingKey(t *testing.T) (file, public string) {
	t.Helper()
	text, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "integrity.key")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, public
}

// signs has the configuration name a key, and the one before it.
func (c *clinic) signs(key, old string) {
	c.integrity = fmt.Sprintf("integrity: {key: {file: %q}, interval: 1s}\n", key)
	if old != "" {
		c.integrity = fmt.Sprintf("integrity: {key: {file: %q}, old_key: {file: %q}, interval: 1s}\n", key, old)
	}
}

// delivering runs a process with the configuration until stop.
func (c *clinic) delivering() (stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	cfg := c.config()
	cfg.Observe.Listen = ""
	go func() { done <- app.Delivery{Config: cfg, Log: zap.NewNop()}.Run(ctx) }()
	return func() {
		c.t.Helper()
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			c.t.Fatal(err)
		}
	}
}

// rotate has the configuration's key take over.
func (c *clinic) rotate(overlap time.Duration) {
	c.t.Helper()
	o := c.operator(c.config())
	defer o.Close()
	if _, err := o.RotateIntegrity(c.t.Context(), overlap); err != nil {
		c.t.Fatal(err)
	}
}

// published waits until it is on record that the key is used.
func (c *clinic) published(public string) {
	c.t.Helper()
	o := c.operator(c.config())
	defer o.Close()
	c.await("the key to be published", func() bool {
		keys, err := o.IntegrityKeys(c.t.Context())
		return err == nil && len(keys.Keys) > 0 && keys.Keys[0].Key == public
	})
}

func TestTheSigningKey(t *testing.T) {
	c := newClinic(t).withTopics()
	expect(t, c.examined("integrity"), Skipped, "integrity.key", "keygen")

	first, firstPublic := signingKey(t)
	c.signs(first, "")
	expect(t, c.examined("integrity"), OK, "every 1s", firstPublic)

	c.signs(filepath.Join(t.TempDir(), "nothing"), "")
	expect(t, c.examined("integrity"), Fail, "delivery does not start", "integrity.key", "keygen")
	expect(t, c.examined("secrets"), Fail, "integrity.key")
	if found := c.examined("archive"); len(found) != 0 {
		t.Errorf("without a key there is nothing to archive: %+v", found)
	}

	garbled := filepath.Join(t.TempDir(), "garbled")
	if err := os.WriteFile(garbled, []byte("PRIVATE+KEY+v3ry-s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.signs(garbled, "")
	found := c.examined("integrity")
	expect(t, found, Fail, "the key cannot be used")
	if strings.Contains(fmt.Sprintf("%+v", found), "v3ry-s3cret") {
		t.Errorf("the key is told: %+v", found)
	}

	if err := os.Chmod(first, 0o644); err != nil { //nolint:gosec // that is what is found
		t.Fatal(err)
	}
	c.signs(first, "")
	expect(t, c.examined("integrity"), Warn, "every user of this machine may read {file: "+first, "chmod o-rwx", "rotate --overlap 0s")
	expect(t, c.examined("integrity"), OK, firstPublic)
}

func TestASigningKeyThatIsNotTheLastOnePublished(t *testing.T) {
	c := newClinic(t).withTopics()
	first, firstPublic := signingKey(t)
	second, secondPublic := signingKey(t)
	c.signs(first, "")
	stop := c.delivering()
	c.published(firstPublic)
	stop()

	c.signs(second, "")
	expect(t, c.examined("integrity"), Fail, "no statement hands trust on to "+secondPublic, "integrity.old_key", "integrity rotate")

	c.signs(second, first)
	expect(t, c.examined("integrity"), Fail, "no statement hands trust on to "+secondPublic, "integrity rotate")
	c.rotate(time.Hour)
	expect(t, c.examined("integrity"), OK, secondPublic, firstPublic)

	// Whoever has been left with the old key.
	c.signs(first, "")
	expect(t, c.examined("integrity"), Warn, secondPublic+" takes over from the key of this configuration", "integrity.key")
}

func TestASigningKeyAfterItsEnd(t *testing.T) {
	c := newClinic(t).withTopics()
	first, firstPublic := signingKey(t)
	second, secondPublic := signingKey(t)
	c.signs(first, "")
	stop := c.delivering()
	c.published(firstPublic)
	stop()
	c.signs(second, first)
	c.rotate(0)
	// Times of statements are in whole seconds.
	o := c.operator(c.config())
	defer o.Close()
	c.await("the old key's end", func() bool {
		link, err := o.IntegrityLink(t.Context())
		return err == nil && link.Signing.OldKeyEnded(time.Now()) != ""
	})
	found := c.examined("integrity")
	expect(t, found, OK, secondPublic)
	expect(t, found, Warn, firstPublic+" has signed nothing since", "take integrity.old_key out")

	c.signs(first, "")
	expect(t, c.examined("integrity"), Fail, secondPublic+" has taken over from "+firstPublic, "nobody believes", "integrity.key")
}

func TestCheckpointsThatAnotherKeySigns(t *testing.T) {
	c := newClinic(t).withTopics()
	c.streams = fmt.Sprintf("streams:\n  - {id: a, organization_id: \"*\", file: {dir: %q}}\n", t.TempDir())
	expectSoon := func(status Status, parts ...string) {
		t.Helper()
		var found []Finding
		c.await(fmt.Sprintf("a finding of status %s that says %q; the last were %+v", status, parts, found), func() bool {
			found = c.examined("checkpoints")
			return says(found, status, parts...)
		})
	}
	first, firstPublic := signingKey(t)
	c.signs(first, "")
	expect(t, c.examined("checkpoints"), Skipped, "no feeds")
	stop := c.delivering()
	defer stop()
	c.published(firstPublic)
	expectSoon(OK, "2 feeds, none without a checkpoint that is due")

	second, _ := signingKey(t)
	c.signs(second, first)
	c.rotate(time.Hour)
	expectSoon(Warn, "were not signed with the key of this configuration", "start every process that delivers with this configuration")
}

// What a record of progress says, without waiting for time to pass.
func TestLateCheckpoints(t *testing.T) {
	now := time.Now()
	lane := func(updated time.Duration, last *consumer.ChainCheckpoint) consumer.LaneStatus {
		at := now.Add(-updated)
		return consumer.LaneStatus{Partition: 3, Updated: &at, Chain: &consumer.Chain{Checkpoint: last}}
	}
	last := func(age time.Duration, taken bool, why string) *consumer.ChainCheckpoint {
		return &consumer.ChainCheckpoint{Size: 7, At: now.Add(-age), InFeed: taken, Why: why}
	}
	for _, tt := range []struct {
		name  string
		lane  consumer.LaneStatus
		state string
		says  []string // empty: all is well
	}{
		{"young", lane(0, last(10*time.Minute, true, "")), consumer.StateActive, nil},
		{"on its way to the destination", lane(0, last(0, false, "")), consumer.StateActive, nil},
		{"to a destination that takes none", lane(0, last(0, false, consumer.NoWitness)), consumer.StateActive, nil},
		{"of a paused stream", lane(0, last(0, false, consumer.PausedWitness)), consumer.StatusPaused, nil},
		{"late", lane(0, last(40*time.Minute, true, "")), consumer.StateActive, []string{"acme, partition 3", "one is due every 10m", "integrity.key"}},
		{"late, and the stream paused", lane(0, last(40*time.Minute, false, consumer.PausedWitness)), consumer.StatusPaused, []string{"one is due every 10m"}},
		{"late, where nobody delivers: the groups say so", lane(0, last(40*time.Minute, true, "")), consumer.StatusStopped, nil},
		{"not yet", lane(time.Minute, nil), consumer.StateActive, nil},
		{"never", lane(time.Hour, nil), consumer.StateActive, []string{"has had no checkpoint yet", "integrity.key"}},
		{"refused", lane(0, last(0, false, "Splunk: the token is disabled")), consumer.StateActive, []string{"has not taken", "the token is disabled", "mend"}},
		{"not chained", consumer.LaneStatus{}, consumer.StateActive, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClinic(t)
			var found []Finding
			e := &examiner{Config: Config{Config: c.config()}, report: func(f Finding) { found = append(found, f) }}
			e.statuses = []consumer.Status{{Spec: consumer.Spec{ID: "acme"}, State: tt.state, Lanes: []consumer.LaneStatus{tt.lane}}}
			if _, good := e.feeds(now); good != (tt.says == nil) {
				t.Errorf("good is %t: %+v", good, found)
			}
			if tt.says != nil {
				expect(t, found, Warn, tt.says...)
			}
		})
	}
}

func TestTheTopicOfCheckpoints(t *testing.T) {
	c := newClinic(t).withTopics()
	for _, tt := range []struct {
		setting, value string
		status         Status
		says           string
	}{
		{"cleanup.policy", "compact", Fail, "compaction would delete records"},
		{"cleanup.policy", "compact,delete", Fail, "compaction would delete records"},
		{"retention.ms", "604800000", Fail, "records would expire that are to be kept for ever"},
		{"retention.bytes", "1000000", Warn, "a limit in bytes"},
	} {
		c.set("audit.checkpoints", tt.setting, tt.value)
		expect(t, c.examined("topics"), tt.status, "topic audit.checkpoints has "+tt.setting+"="+tt.value, tt.says, "kafka-configs.sh")
	}
}

func TestTheArchiveOfCheckpoints(t *testing.T) {
	key, _ := signingKey(t)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("archive-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	look := func(c *Config) { c.Destinations = true }
	write := func(c *Config) { c.Destinations, c.Write = true, true }
	c := newClinic(t).withTopics()
	archive := func(endpoint, set string) string {
		return fmt.Sprintf("integrity: {key: {file: %q}, archive: {bucket: checkpoints, region: us-east-1, endpoint: %q, path_style: true, access_key_id: archivist, secret_access_key: {file: %q}, %stimeout: 10s}}\n",
			key, endpoint, file, set)
	}
	const locks = "object_lock: compliance, retention: 30d, "
	for _, tt := range []struct {
		name   string
		store  s3store.Config
		set    string
		change func(*Config)
		status Status
		says   []string
	}{
		{"is not asked for", s3store.Config{}, locks, func(*Config) {}, Skipped, []string{"--destinations"}},
		{"locks", s3store.Config{ObjectLock: true}, locks, look, OK, []string{"each object is locked (compliance) for 30d"}},
		{"is written only if that is wanted", s3store.Config{ObjectLock: true}, locks, look, Skipped, []string{"--write"}},
		{"can be written", s3store.Config{ObjectLock: true}, locks, write, OK, []string{"can be written"}},
		{"locks by a default", s3store.Config{ObjectLock: true, DefaultLock: "COMPLIANCE", DefaultRetention: 48 * time.Hour}, "", look, OK, []string{"the bucket locks every new object"}},
		{"locks nothing", s3store.Config{ObjectLock: true}, "", look, Warn, []string{"whoever may write them may delete them", "integrity.archive.object_lock"}},
		{"has no lock", s3store.Config{}, locks, look, Warn, []string{"the bucket has no Object Lock", "make a bucket with Object Lock"}},
		{"may not be looked at", s3store.Config{ObjectLock: true, Deny: []string{"s3:GetBucketObjectLockConfiguration"}}, "", look, Warn, []string{"may not see", "s3:GetBucketObjectLockConfiguration"}},
		{"may not be written", s3store.Config{ObjectLock: true, Deny: []string{"s3:PutObject"}}, locks, write, Fail, []string{"nothing can be written there", "s3:PutObject"}},
		{"may not be written for ever", s3store.Config{ObjectLock: true, Deny: []string{"s3:PutObjectRetention"}}, locks, write, Fail, []string{"nothing can be written there", "s3:PutObjectRetention"}},
		{"takes nothing that is to be locked", s3store.Config{}, locks, write, Fail, []string{"nothing can be written there"}},
		{"is another's", s3store.Config{ObjectLock: true, SecretAccessKey: "another"}, locks, look, Fail, []string{"SignatureDoesNotMatch", "archives no checkpoint"}},
		{"is not there", s3store.Config{Buckets: []string{"another"}}, locks, look, Fail, []string{"NoSuchBucket", "archives no checkpoint"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.store.AccessKeyID = "archivist"
			if tt.store.SecretAccessKey == "" {
				tt.store.SecretAccessKey = "archive-secret"
			}
			if tt.store.Buckets == nil {
				tt.store.Buckets = []string{"checkpoints"}
			}
			store, err := s3store.New(tt.store)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(store)
			t.Cleanup(server.Close)
			c.integrity = archive(server.URL, tt.set)
			found := c.examined("archive", tt.change)
			expect(t, found, tt.status, tt.says...)
			if strings.Contains(fmt.Sprintf("%+v", found), "archive-secret") {
				t.Errorf("a secret is told: %+v", found)
			}
		})
	}
	t.Run("does not answer", func(t *testing.T) {
		c.integrity = archive(fmt.Sprintf("http://127.0.0.1:%d", closedport.Find(t)), "")
		expect(t, c.examined("archive", look), Fail, "connection refused", "archives no checkpoint")
	})
	t.Run("there is none", func(t *testing.T) {
		c.signs(key, "")
		expect(t, c.examined("archive", look), Skipped, "integrity.archive")
	})
}

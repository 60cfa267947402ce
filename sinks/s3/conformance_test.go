package s3_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

const (
	bucket      = "acme-audit"
	accessKeyID = "AKIAACMEACMEACMEACME"
	secretKey   = "an/example+of-a-secret/of/forty-charact"
)

func TestConformance(t *testing.T) {
	xml := func(status int, code string, headers ...string) faults.Answer {
		h := http.Header{"Content-Type": {"application/xml"}}
		for i := 0; i+1 < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return faults.Answer{
			Status: status, Header: h,
			Body: []byte(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>A message.</Message></Error>`),
		}
	}
	sinktest.Conformance(t, sinktest.Harness{
		Kind:        s3.Kind(),
		Start:       func(t *testing.T) *sinktest.Target { t.Helper(); return startTarget(t, s3store.Config{}) },
		Delivers:    putsEvents,
		ExactlyOnce: true,
		Refusals: []sinktest.Refusal{
			{Name: "access denied", Answer: xml(403, "AccessDenied"), Class: sinks.Misconfigured},
			{Name: "unknown access key", Answer: xml(403, "InvalidAccessKeyId"), Class: sinks.Misconfigured},
			{Name: "wrong secret", Answer: xml(403, "SignatureDoesNotMatch"), Class: sinks.Misconfigured},
			{Name: "clock", Answer: xml(403, "RequestTimeTooSkewed"), Class: sinks.Misconfigured},
			{Name: "403 without a reason", Answer: faults.Answer{Status: 403}, Class: sinks.Misconfigured},
			{Name: "expired token, for which there may be a fresh one", Answer: xml(400, "ExpiredToken"), Class: sinks.Unavailable},
			{Name: "throttled key of the bucket", Answer: xml(400, "KMS.ThrottlingException"), Class: sinks.Unavailable},
			{Name: "conflicting operation", Answer: xml(409, "OperationAborted"), Class: sinks.Unavailable},
			{Name: "service unavailable", Answer: xml(503, "ServiceUnavailable"), Class: sinks.Unavailable},
			{Name: "no bucket", Answer: xml(404, "NoSuchBucket"), Class: sinks.Misconfigured},
			{Name: "404 without a reason", Answer: faults.Answer{Status: 404}, Class: sinks.Misconfigured},
			{Name: "another region", Answer: xml(301, "PermanentRedirect", "X-Amz-Bucket-Region", "eu-west-9"), Class: sinks.Misconfigured},
			{Name: "wrong region in the signature", Answer: xml(400, "AuthorizationHeaderMalformed"), Class: sinks.Misconfigured},
			{Name: "key of the bucket disabled", Answer: xml(400, "KMS.DisabledException"), Class: sinks.Misconfigured},
			{Name: "conditions unknown", Answer: xml(501, "NotImplemented"), Class: sinks.Misconfigured},
			{Name: "two creations at once", Answer: xml(409, "ConditionalRequestConflict"), Class: sinks.Unavailable},
			{Name: "damaged on the way", Answer: xml(400, "BadDigest"), Class: sinks.Unavailable},
			{Name: "too slow", Answer: xml(400, "RequestTimeout"), Class: sinks.Unavailable},
			{Name: "unknown 400", Answer: xml(400, "SomethingNew"), Class: sinks.Unavailable},
			{Name: "slow down", Answer: xml(503, "SlowDown", "Retry-After", "7"), Class: sinks.Unavailable, RetryAfter: 7 * time.Second},
			{Name: "too many requests", Answer: faults.Answer{Status: 429, Header: http.Header{"Retry-After": {"2"}}}, Class: sinks.Unavailable, RetryAfter: 2 * time.Second},
			{Name: "internal error", Answer: xml(500, "InternalError"), Class: sinks.Unavailable},
			{Name: "bad gateway", Answer: faults.Answer{Status: 502}, Class: sinks.Unavailable},
			{Name: "too large", Answer: xml(400, "EntityTooLarge"), Class: sinks.Rejected},
			{Name: "too large for a proxy", Answer: faults.Answer{Status: 413}, Class: sinks.Rejected},
		},
	})
}

// putsEvents tells objects of events from the probe and from HEADs.
func putsEvents(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".ndjson.gz")
}

func newStore(t *testing.T, cfg s3store.Config) *s3store.Server {
	t.Helper()
	cfg.AccessKeyID, cfg.SecretAccessKey, cfg.Buckets = accessKeyID, secretKey, []string{bucket}
	store, err := s3store.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func settings(t *testing.T, endpoint string) *s3.Settings {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set := s3.Defaults()
	set.Bucket, set.Endpoint, set.PathStyle, set.Prefix = bucket, endpoint, true, "audit/"
	set.AccessKeyID, set.SecretAccessKey = accessKeyID, secret.Ref{File: file}
	return set
}

func startTarget(t *testing.T, cfg s3store.Config, change ...func(*s3.Settings)) *sinktest.Target {
	t.Helper()
	store := newStore(t, cfg)
	return &sinktest.Target{
		Handler: store,
		Settings: func(base string) sinks.Settings {
			set := settings(t, base)
			for _, c := range change {
				c(set)
			}
			return set
		},
		Arrived: func() [][]byte {
			events, err := store.Events()
			if err != nil {
				t.Error(err)
			}
			return events
		},
		Replays: func() []string { return replays(t, store) },
		Proofs:  func() []sinktest.Proof { return proofs(t, store) },
		Notes: func() (list [][]byte) {
			for _, o := range store.Objects(bucket, "audit/_checkpoints/") {
				_, content, ok := store.Get(bucket, o.Key)
				if !ok {
					t.Errorf("%s is gone", o.Key)
				}
				list = append(list, content)
			}
			return list
		},
		Secrets: []string{secretKey, accessKeyID, url.QueryEscape(secretKey)},
	}
}

// proofs counts on from what the metadata of each object say, and checks that they are right
// about its end.
func proofs(t *testing.T, store *s3store.Server) (list []sinktest.Proof) {
	t.Helper()
	for _, o := range store.Objects(bucket, "audit/stream") {
		_, packed, _ := store.Get(bucket, o.Key)
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		m := o.Metadata
		head := integrity.Head{}
		if m["auditstream-origin"] != "" {
			first, err1 := strconv.ParseInt(m["auditstream-first"], 10, 64)
			before, err2 := integrity.ParseHash(m["auditstream-chain-before"])
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			head = integrity.Head{Size: first - 1, Hash: before}
		}
		for line := range bytes.Lines(lines) {
			if m["auditstream-origin"] == "" {
				list = append(list, sinktest.Proof{})
				continue
			}
			head = head.Next(integrity.Digest(bytes.TrimSuffix(line, []byte("\n"))))
			list = append(list, sinktest.Proof{Feed: integrity.FeedID(m["auditstream-origin"]), Number: head.Size, Chain: head.Hash})
		}
		if m["auditstream-origin"] != "" && (m["auditstream-last"] != strconv.FormatInt(head.Size, 10) || m["auditstream-chain-after"] != head.Hash.String()) {
			t.Errorf("%s ends at %d with %s, and its metadata say %v", o.Key, head.Size, head.Hash, m)
		}
	}
	return list
}

// replays are the jobs that the objects' keys name, once for each event.
func replays(t *testing.T, store *s3store.Server) []string {
	t.Helper()
	var jobs []string
	for _, o := range store.Objects(bucket, "audit/") {
		if !strings.HasSuffix(o.Key, ".ndjson.gz") {
			continue
		}
		job := ""
		if rest, ok := strings.CutPrefix(o.Key, "audit/replay="); ok {
			job, _, _ = strings.Cut(rest, "/")
		}
		n, err := strconv.Atoi(o.Metadata["auditstream-count"])
		if err != nil {
			t.Error(err)
		}
		for range n {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

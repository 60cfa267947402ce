package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/sinks/all"
	"github.com/auditstream/auditstream/sinks/sinktest/ddlogs"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// Dev is everything in one process: an embedded Kafka, delivery, and the destinations,
// hosted on loopback.
type Dev struct {
	Dir      string        // keeps everything; a second start finds what was there
	Once     bool          // end as soon as the sample feed has arrived everywhere
	Timeout  time.Duration // bound of Once
	Terminal bool          // Out is a terminal: redraw in place
	Version  string
	Out      io.Writer // what a person reads
	Log      *zap.Logger
}

// Where dev listens on 127.0.0.1 when the port is free; the same ports every time, since
// they stand in the streams' settings.
const (
	devKafka   = 19092
	devGateway = 18080
	devObserve = 18081
	devAdmin   = 18082
	devSplunk  = 18088
	devDatadog = 18126
	devS3      = 19000
)

const (
	devBucket = "audit-archive"
	devAccess = "AUDITSTREAMDEV"
	devKeep   = 10_000 // newest events that a hosted destination keeps in memory
)

// Run runs until ctx ends, or, with Once, until everything has arrived.
func (d Dev) Run(ctx context.Context) (err error) {
	closers := []func() error{}
	defer func() {
		for _, f := range slices.Backward(closers) {
			err = errors.Join(err, f())
		}
	}()
	secrets, err := devSecrets(filepath.Join(d.Dir, "secrets"), "splunk_token", "datadog_api_key", "s3_secret_key", "admin_token", "gateway_key")
	if err != nil {
		return err
	}
	broker, err := d.embedded()
	if err != nil {
		return err
	}
	closers = append(closers, broker.Close)
	hosted, err := d.host(secrets)
	closers = append(closers, hosted.close)
	if err != nil {
		return err
	}
	cfg, err := d.configure(broker.Addr(), hosted)
	if err != nil {
		return err
	}
	opts, err := cfg.Kafka.Options(sampled(d.Log.Named("kafka")))
	if err != nil {
		return err
	}

	splunkFile, err := d.devSplunkFile()
	if err != nil {
		return err
	}
	d.adopt(ctx, cfg)
	running, stop := context.WithCancel(ctx)
	defer stop()
	go d.administer(running, hosted.splunk, splunkFile)
	delivered := make(chan error, 1)
	go func() {
		delivered <- Everything{Delivery{Config: cfg, Version: d.Version, Log: d.Log}}.run(running, opts)
	}()
	closers = append(closers, func() error {
		stop()
		return <-delivered
	})

	feed, err := sampleFeed()
	if err != nil {
		return err
	}
	d.introduce(cfg, broker.Addr(), hosted)
	if err := d.publishSample(ctx, cfg, opts, feed); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if d.Once {
		return d.await(ctx, hosted, feed, delivered, &closers)
	}
	return d.watch(ctx, hosted, delivered, &closers)
}

// embedded starts the broker on its usual port, or on any when that is taken.
func (d Dev) embedded() (*kafka.Embedded, error) {
	c := kafka.EmbeddedConfig{Dir: filepath.Join(d.Dir, "kafka"), Port: devKafka, Log: d.Log.Named("kafka")}
	broker, err := kafka.StartEmbedded(c)
	if err != nil && portTaken(devKafka) {
		c.Port = 0
		broker, err = kafka.StartEmbedded(c)
	}
	return broker, err
}

func portTaken(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // loopback, at once
	if err != nil {
		return true
	}
	_ = l.Close()
	return false
}

// devSecrets makes the secrets of the hosted destinations once and returns the files
// that hold them, by name. An empty file is what a crash amid the making leaves.
func devSecrets(dir string, names ...string) (map[string]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, name := range names {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		files[name] = path
		switch have, err := os.ReadFile(path); {
		case err == nil && len(strings.TrimSpace(string(have))) > 0:
			continue
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
		if err := os.WriteFile(path, []byte(rand.Text()+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// devHosted are the destinations that dev hosts.
type devHosted struct {
	splunk  *hec.Server
	datadog *ddlogs.Server
	s3      *s3store.Server
	secrets map[string]string
	urls    map[string]string // by kind
	servers []*http.Server
}

func (d Dev) host(secrets map[string]string) (*devHosted, error) {
	h := &devHosted{secrets: secrets, urls: map[string]string{}}
	value := map[string]string{}
	for name, path := range secrets {
		b, err := os.ReadFile(path)
		if err != nil {
			return h, err
		}
		value[name] = strings.TrimSpace(string(b))
	}
	var err error
	if h.splunk, err = hec.New(hec.Config{Dir: filepath.Join(d.Dir, "splunk"), Keep: devKeep, Token: value["splunk_token"]}); err != nil {
		return h, err
	}
	if h.datadog, err = ddlogs.New(ddlogs.Config{Dir: filepath.Join(d.Dir, "datadog"), Keep: devKeep, APIKey: value["datadog_api_key"]}); err != nil {
		return h, err
	}
	if h.s3, err = s3store.New(s3store.Config{
		Dir: filepath.Join(d.Dir, "s3"), AccessKeyID: devAccess, SecretAccessKey: value["s3_secret_key"], Buckets: []string{devBucket},
	}); err != nil {
		return h, err
	}
	for kind, x := range map[string]struct {
		port    int
		handler http.Handler
	}{"splunk": {devSplunk, h.splunk}, "datadog": {devDatadog, h.datadog}, "s3": {devS3, h.s3}} {
		l, err := listen(x.port)
		if err != nil {
			return h, err
		}
		h.urls[kind] = "http://" + l.Addr().String()
		s := &http.Server{Handler: x.handler, ReadHeaderTimeout: 5 * time.Second, ErrorLog: zap.NewStdLog(d.Log.Named(kind))}
		h.servers = append(h.servers, s)
		go func() { _ = s.Serve(l) }() // until close
	}
	return h, nil
}

// listen takes the port, or any when it is taken.
func listen(port int) (net.Listener, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // loopback, at once
	if err != nil {
		return net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback, at once
	}
	return l, nil
}

// free is the address of a port that is free now.
func free(port int) (string, error) {
	l, err := listen(port)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (h *devHosted) close() error {
	var errs []error
	for _, s := range h.servers {
		errs = append(errs, s.Close())
	}
	if h.splunk != nil {
		errs = append(errs, h.splunk.Close())
	}
	if h.datadog != nil {
		errs = append(errs, h.datadog.Close())
	}
	if h.s3 != nil {
		errs = append(errs, h.s3.Close())
	}
	return errors.Join(errs...)
}

// counts are the events that each stream's destination has.
func (h *devHosted) counts() map[string]int {
	return map[string]int{"dev-splunk": h.splunk.Len(), "dev-datadog": h.datadog.Len(), "dev-archive": h.s3.Len()}
}

// devConfig is the configuration of dev, as a user would write it.
const devConfig = `# Written by "auditstream dev" at each start. Publish to it with:
#   auditstream publish --config %[1]s FILE
kafka:
  brokers: [%[2]q]
topics:
  partitions: 6
  replication: 1
secrets:
  keys: [{id: dev, key: {file: %[14]q}}]
integrity:
  key: {file: %[17]q}
  interval: 10s
gateway:
  listen: %[15]q
  keys: [{name: dev, key: {file: %[16]q}, organizations: ["*"], allow: [publish, exports, schemas, retention]}]
delivery:
  retry: {min: 200ms, max: 10s}
  egress: {allow_api: [127.0.0.0/8]}
  probe: 10s
observe:
  listen: %[3]q
admin:
  listen: %[12]q
  tokens: [{name: dev, token: {file: %[13]q}, role: admin}]
streams:
  - id: dev-splunk
    organization_id: "*"
    start: beginning
    splunk:
      url: %[4]q
      token: {file: %[5]q}
      index: audit
      linger: 200ms
  - id: dev-datadog
    organization_id: "*"
    start: beginning
    datadog:
      url: %[6]q
      api_key: {file: %[7]q}
      linger: 200ms
  - id: dev-archive
    organization_id: "*"
    start: beginning
    s3:
      bucket: %[8]s
      endpoint: %[9]q
      path_style: true
      access_key_id: %[10]s
      secret_access_key: {file: %[11]q}
      max_age: 2s
`

// configure writes the configuration that it runs with, so that a user finds it.
func (d Dev) configure(broker string, h *devHosted) (*config.Config, error) {
	path, err := filepath.Abs(filepath.Join(d.Dir, "dev.yaml"))
	if err != nil {
		return nil, err
	}
	observe, err := free(devObserve)
	if err != nil {
		return nil, err
	}
	api, err := free(devAdmin)
	if err != nil {
		return nil, err
	}
	intake, err := free(devGateway)
	if err != nil {
		return nil, err
	}
	key, err := devKey(filepath.Join(d.Dir, "secrets"))
	if err != nil {
		return nil, err
	}
	signing, err := devSigningKey(filepath.Join(d.Dir, "secrets"))
	if err != nil {
		return nil, err
	}
	text := fmt.Appendf(nil, devConfig, path, broker, observe,
		h.urls["splunk"], h.secrets["splunk_token"], h.urls["datadog"], h.secrets["datadog_api_key"],
		devBucket, h.urls["s3"], devAccess, h.secrets["s3_secret_key"], api, h.secrets["admin_token"], key, intake, h.secrets["gateway_key"], signing)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	return config.Parse(path, text, all.Kinds())
}

func (d Dev) introduce(cfg *config.Config, broker string, h *devHosted) {
	p := func(name, format string, args ...any) {
		d.say("  %-9s %s", name, fmt.Sprintf(format, args...))
	}
	d.say("auditstream dev: an embedded Kafka, the gateway, delivery and three destinations in one process")
	p("Kafka", "%s   data in %s", broker, filepath.Join(d.Dir, "kafka"))
	p("Gateway", "http://%s   takes events in; API key in %s", cfg.Gateway.Listen, filepath.Join(d.Dir, "secrets", "gateway_key"))
	p("Splunk", "%s   events in %s, switches in %s", h.urls["splunk"], h.splunk.Path(), filepath.Join(filepath.Dir(h.splunk.Path()), "settings.yaml"))
	p("Datadog", "%s   logs in %s", h.urls["datadog"], h.datadog.Path())
	p("S3", "%s   objects in %s", h.urls["s3"], filepath.Join(d.Dir, "s3", devBucket))
	p("Proof", "a signed checkpoint of each feed every %s, in the feed itself; public key at http://%s%s", cfg.Integrity.Interval.Std(), cfg.Admin.Listen, integrity.WellKnown)
	p("Metrics", "http://%s/metrics", cfg.Observe.Listen)
	p("Console", "http://%s   and the API; token in %s", cfg.Admin.Listen, filepath.Join(d.Dir, "secrets", "admin_token"))
	p("Config", "%s   send more with: auditstream publish --config %[1]s FILE", filepath.Join(d.Dir, "dev.yaml"))
	d.say("")
}

// adopt signs what was written to dev's own Kafka before it had a key.
func (d Dev) adopt(ctx context.Context, cfg *config.Config) {
	first, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	o, err := Operate(first, cfg, d.Log)
	if err != nil {
		return // there are no topics yet
	}
	defer o.Close()
	if _, err := o.Adopt(first); err != nil {
		d.Log.Warn("streams from before there was a key are not signed: they are held", zap.Error(err))
	}
}

// adoptTimeout bounds what a start waits for.
const adoptTimeout = 10 * time.Second

// devKey is the file of the key that seals and signs.
func devKey(dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "seal_key"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	return path, os.WriteFile(path, []byte(seal.NewKey()+"\n"), 0o600)
}

// devSigningKey is the file of the key that signs checkpoints.
func devSigningKey(dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "integrity_key"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	secret, _, err := integrity.GenerateKey("dev.auditstream")
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(secret+"\n"), 0o600)
}

// say prints a line. What cannot be shown is not shown.
func (d Dev) say(format string, args ...any) { _, _ = fmt.Fprintf(d.Out, format+"\n", args...) }

// watch shows what arrives until ctx ends.
func (d Dev) watch(ctx context.Context, h *devHosted, delivered chan error, closers *[]func() error) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	show := display{out: d.Out, redraw: d.Terminal}
	for {
		show.counts(h.counts())
		select {
		case <-ctx.Done():
			d.say("stopping: finishing what is under way, saving progress")
			return nil
		case err := <-delivered:
			*closers = (*closers)[:len(*closers)-1] // nobody is left to wait for
			if err == nil && ctx.Err() == nil {
				err = errors.New("delivery ended by itself")
			}
			return err
		case <-tick.C:
		}
	}
}

// display shows counts whenever they change.
type display struct {
	out    io.Writer
	redraw bool
	last   map[string]int
}

func (d *display) counts(now map[string]int) {
	if maps.Equal(now, d.last) {
		return
	}
	if d.redraw && d.last != nil {
		_, _ = fmt.Fprintf(d.out, "\x1b[%dA", len(now))
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		end := "\n"
		if d.redraw {
			end = "\x1b[K\n"
		}
		_, _ = fmt.Fprintf(d.out, "  %-12s %7d delivered%s", id, now[id], end)
	}
	d.last = now
}

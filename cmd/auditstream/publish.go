package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/feed"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/registry"
	"github.com/auditstream/auditstream/sinks/all"
)

// publishFlags are what the command line says.
type publishFlags struct {
	config       string
	brokers      []string
	topic        string
	prefix       string
	organization string
	timeout      time.Duration
}

func newPublish() *cobra.Command {
	var f publishFlags
	cmd := &cobra.Command{
		Use:   "publish FILE|-",
		Short: "Publish a file of events, one JSON object a line",
		Long: `Publish a file of events, one JSON object a line; "-" is standard input.

A line is an audit event, with names in snake_case or camelCase, or a WorkOS Event as
webhooks and the Events API carry it. Events without an id get a new one. A bad line is
told as "line N: /pointer: what is wrong"; the others are published all the same. When
Kafka takes no events any more, reading stops and the lines that were not accepted are named.

Exit codes: 0 every event was accepted; 1 not every one; 2 nothing was attempted.`,
		Example: `  auditstream publish --brokers 127.0.0.1:9092 events.ndjson
  jq -c '.events[]' export.json | auditstream publish --config auditstream.yaml --organization org_01JAAAAAAAAAAAAAAAAAAAAAAA -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError(errors.New(`name one file, or "-" for standard input`))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runPublish(cmd, f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `FILE`: its cluster, topics and organization pattern")
	flags.StringSliceVar(&f.brokers, "brokers", nil, "`HOST:PORT` of some brokers")
	flags.StringVar(&f.topic, "topic", "", "`NAME` of the topic of events (default: PREFIX.events)")
	flags.StringVar(&f.prefix, "prefix", kafka.DefaultPrefix, "`PREFIX` of the topics' names")
	flags.StringVar(&f.organization, "organization", "", "`ID` that events without an organization get")
	flags.DurationVar(&f.timeout, "timeout", producer.DefaultDeliveryTimeout, "how long to try to publish an event, at least 1s")
	return cmd
}

func runPublish(cmd *cobra.Command, f publishFlags, name string) error {
	conf, err := f.producer(cmd.Flags().Changed("prefix"))
	if err != nil {
		return usageError(err)
	}
	known, err := f.registry(cmd.Context())
	if err != nil {
		return err
	}
	input, size, err := openInput(cmd, name)
	if err != nil {
		return usageError(err)
	}
	defer input.Close() //nolint:errcheck // only read
	screen := newScreen(cmd.ErrOrStderr(), size)
	if known != nil {
		conf.Check = func(e *schema.Event) schema.Violations {
			result := known.Validate(e)
			screen.warned(e, result.Warnings)
			return result.Violations
		}
	}
	log, err := newLogger(config.Log{Level: "warn", Format: "console"}, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	traces, exported, err := app.Traces(cmd.Context(), versionString(), log)
	if err != nil {
		return usageError(err)
	}
	defer exported()
	conf.Traces = traces
	client, err := producer.New(conf)
	if err != nil {
		return usageError(err)
	}
	waiting := screen.after(patience, "waiting for Kafka at "+strings.Join(conf.Brokers, ", "))
	counts, err := feed.Publish(cmd.Context(), screen.count(input), feed.Config{
		Client: client, Validator: conf.Validator, Organization: f.organization,
		Refused: screen.refused,
		Accepted: func(total int) {
			if total == 1 {
				waiting.Stop()
			}
		},
	})
	waiting.Stop()
	screen.done()
	// Everything is settled by now: there is nothing to wait for.
	err = errors.Join(err, client.Close(context.WithoutCancel(cmd.Context())))
	if _, printErr := fmt.Fprintf(cmd.OutOrStdout(), "published %d, refused %d, failed %d\n", counts.Published, counts.Refused, counts.Failed); printErr != nil {
		err = errors.Join(err, printErr)
	}
	switch {
	case cmd.Context().Err() != nil:
		return &exitError{exitFailed, fmt.Errorf("interrupted: the rest of %s was not read: %w", name, err)}
	case err != nil:
		return &exitError{exitFailed, err}
	case counts.Refused > 0:
		return &exitError{exitFailed, nil} // each line has been told
	}
	return nil
}

// producer joins the file and the flags, which come first.
func (f publishFlags) producer(prefixGiven bool) (producer.Config, error) {
	if f.timeout < time.Second {
		return producer.Config{}, fmt.Errorf("--timeout %s is less than a second", f.timeout)
	}
	p := producer.Config{Brokers: f.brokers, Topic: f.topic, ClientID: "auditstream-publish", DeliveryTimeout: f.timeout}
	prefix := f.prefix
	if f.config != "" {
		c, err := config.Load(f.config, all.Kinds())
		if err != nil {
			return p, err
		}
		if p.TLS, err = c.Kafka.TLS.Client(); err != nil {
			return p, err
		}
		if s := c.Kafka.SASL; s != nil {
			p.SASL = &producer.SASL{Mechanism: s.Mechanism, Username: s.Username, Password: s.Password.Resolve}
		}
		if len(p.Brokers) == 0 {
			p.Brokers = c.Kafka.Brokers
		}
		if len(p.Brokers) == 0 && c.Kafka.Embedded != nil {
			return p, fmt.Errorf("the Kafka of %s runs inside another process: give its address with --brokers", f.config)
		}
		if !prefixGiven {
			prefix = c.Topics.Prefix
		}
		p.Validator.OrganizationPattern = c.Events.OrganizationPattern
	}
	if len(p.Brokers) == 0 {
		return p, errors.New("where is Kafka? give --brokers HOST:PORT or --config FILE")
	}
	if p.Topic == "" {
		p.Topic = kafka.Topics{Prefix: prefix}.Events()
	}
	return p, nil
}

// registry is what events are checked by, beside their envelope, if the configuration says
// so; else nil.
func (f publishFlags) registry(ctx context.Context) (*registry.Registry, error) {
	if f.config == "" {
		return nil, nil //nolint:nilnil // nothing more is checked
	}
	c, err := config.Load(f.config, all.Kinds())
	if err != nil {
		return nil, usageError(err)
	}
	if c.Events.Check != config.CheckSchema {
		return nil, nil //nolint:nilnil // likewise
	}
	source := schemaSource{clusterFlags: clusterFlags{config: f.config, brokers: f.brokers, timeout: f.timeout}, dir: c.Events.Schemas}
	actions, err := source.load(ctx)
	if err != nil {
		return nil, err
	}
	return registry.New(registry.Config{
		Validator: schema.Validator{OrganizationPattern: c.Events.OrganizationPattern},
		Unknown:   registry.Policy(c.Events.Unknown),
		Limits: &registry.Limits{
			Keys: c.Events.MetadataMembers, Key: c.Events.MetadataName, Text: c.Events.MetadataText, Nested: c.Events.MetadataNested,
		},
	}, actions)
}

// openInput opens the file; size is -1 where it is not known.
func openInput(cmd *cobra.Command, name string) (r io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(&interruptible{cmd.Context(), cmd.InOrStdin(), nil}), -1, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	switch {
	case err == nil && info.IsDir():
		err = fmt.Errorf("%s is a directory", name)
	case err == nil && info.Mode().IsRegular():
		return file, info.Size(), nil
	case err == nil: // a pipe, which may have nothing to say for a long time
		return struct {
			io.Reader
			io.Closer
		}{&interruptible{cmd.Context(), file, nil}, file}, -1, nil
	}
	return nil, 0, errors.Join(err, file.Close())
}

// interruptible ends a read from a terminal or a pipe when ctx ends. Nothing can call back
// a read of standard input: its goroutine then ends with the process.
type interruptible struct {
	ctx   context.Context
	input io.Reader
	buf   []byte
}

func (r *interruptible) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	done := make(chan result, 1)
	// Into a buffer of our own: p is the caller's again when ctx has ended.
	buf := r.buf[:min(len(p), len(r.buf))]
	go func() {
		n, err := r.input.Read(buf)
		done <- result{n, err}
	}()
	select {
	case got := <-done:
		return copy(p, buf[:got.n]), got.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}

// patience is how long we say nothing about a Kafka that does not answer.
const patience = 3 * time.Second

// screen is what the user sees on standard error: problems, and on a terminal a bar.
type screen struct {
	mu  sync.Mutex
	out io.Writer                // guarded by mu
	bar *progressbar.ProgressBar // nil without a terminal
}

func newScreen(out io.Writer, size int64) *screen {
	s := &screen{out: out}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		s.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetDescription("publishing"),
			progressbar.OptionShowBytes(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionFullWidth(),
		)
	}
	return s
}

// count moves the bar with what is read from r.
func (s *screen) count(r io.Reader) io.Reader {
	if s.bar == nil {
		return r
	}
	return io.TeeReader(r, s.bar)
}

func (s *screen) refused(line int, violations schema.Violations) {
	for _, v := range violations {
		if v.Pointer == "" {
			s.print(fmt.Sprintf("line %d: %s", line, v.Message))
		} else {
			s.print(fmt.Sprintf("line %d: %s: %s", line, v.Pointer, v.Message))
		}
	}
}

// warned tells what is odd about an event that is published all the same.
func (s *screen) warned(e *schema.Event, warnings schema.Violations) {
	for _, v := range warnings {
		s.print(fmt.Sprintf("warning: action %q: %s: %s", e.Action, v.Pointer, v.Message))
	}
}

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear()
	}
	fmt.Fprintln(s.out, text) //nolint:errcheck // there is nowhere else to tell
}

// after prints text unless the timer is stopped by then.
func (s *screen) after(d time.Duration, text string) *time.Timer {
	return time.AfterFunc(d, func() { s.print(text) })
}

func (s *screen) done() {
	if s.bar != nil {
		_ = s.bar.Finish()
	}
}

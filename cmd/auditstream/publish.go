package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/config"
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
	state        string
	follow       bool
	gateway      gatewayFlags
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

With --gateway the events go through a gateway, in batches, with an API key: what the gateway
does not take now is sent again, after the time that it asks for, and as each event has its id
for an idempotency key, that publishes nothing twice.

With --state the command keeps how far it is: up to which line everything was accepted, or
refused and told. The same command goes on there. Events without an id get one that their
place in the file determines, so that what a crash repeats (what was accepted in the second
before it) can be told by its id. Another file under the same name is noticed; what was
rotated away meanwhile is finished first, if it is still in the same folder. One command at
a time goes by a state: FILE.lock, which stays beside it, keeps others out.

With --follow the file is read as it grows, through rotation and truncation, until SIGINT or
SIGTERM; while Kafka takes no events, it waits and goes on where it was.

Interrupted, the command finishes what is under way and says how to go on.

Exit codes: 0 every event was accepted, with --follow until it was told to stop; 1 not every
one, or interrupted; 2 nothing was attempted.`,
		Example: `  auditstream publish --brokers 127.0.0.1:9092 events.ndjson
  auditstream publish --config auditstream.yaml --state audit.state --follow /var/log/app/audit.log
  auditstream publish --gateway https://audit.example --key-file key events.ndjson
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
	flags.StringVar(&f.state, "state", "", "`FILE` that keeps how far the command is, to go on there")
	flags.BoolVar(&f.follow, "follow", false, "read the file as it grows, until the command is stopped")
	f.gateway.add(flags)
	flags.StringVar(&f.organization, "organization", "", "`ID` that events without an organization get")
	flags.DurationVar(&f.timeout, "timeout", producer.DefaultDeliveryTimeout, "how long to try to publish an event, at least 1s")
	return cmd
}

func runPublish(cmd *cobra.Command, f publishFlags, name string) error {
	if err := f.gateway.check(f); err != nil {
		return usageError(err)
	}
	conf, err := f.producer(cmd.Flags().Changed("prefix"))
	if err != nil {
		return usageError(err)
	}
	known, err := f.registry(cmd.Context())
	if err != nil {
		return err
	}
	in, err := f.input(cmd, name)
	if err != nil {
		return usageError(err)
	}
	screen := newScreen(cmd.ErrOrStderr(), in.size)
	if known != nil {
		conf.Check = func(e *schema.Event) schema.Violations {
			result := known.Validate(e)
			screen.warned(e, result.Warnings)
			return result.Violations
		}
	}
	client, err := f.client(cmd, conf, screen)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	waiting := screen.after(patience, "waiting for "+client.where)
	p := &publishing{name: name, follow: f.follow, state: in.state, screen: screen, config: feed.Config{
		Client: client, Validator: conf.Validator, Organization: f.organization,
		Refused: screen.refused,
		Accepted: func(total int) {
			if total == 1 {
				waiting.Stop()
			}
		},
	}}
	err = in.publish(cmd.Context(), p)
	waiting.Stop()
	screen.done()
	// Everything is settled by now: there is nothing to wait for.
	err = errors.Join(err, client.close(context.WithoutCancel(cmd.Context())))
	return p.ended(cmd, err)
}

// ended tells what became of the events.
func (p *publishing) ended(cmd *cobra.Command, err error) error {
	if _, printErr := fmt.Fprintf(cmd.OutOrStdout(), "published %d, refused %d, failed %d\n", p.counts.Published, p.counts.Refused, p.counts.Failed); printErr != nil {
		err = errors.Join(err, printErr)
	}
	interrupted := cmd.Context().Err() != nil
	if interrupted && p.follow && onlyInterrupted(err, context.Cause(cmd.Context())) {
		err, interrupted = nil, false // that is how following ends
	}
	switch {
	case interrupted:
		remedy := ""
		if p.state != nil {
			remedy = "; the same command goes on where this one has stopped"
		}
		return &exitError{exitFailed, fmt.Errorf("interrupted: the rest of %s was not read: %w%s", p.name, err, remedy)}
	case err != nil:
		return &exitError{exitFailed, err}
	case p.counts.Refused > 0 || p.gap:
		return &exitError{exitFailed, nil} // each line, and each file, has been told
	}
	return nil
}

// onlyInterrupted says whether err is nothing else than that the command was told to stop.
func onlyInterrupted(err, cause error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if !onlyInterrupted(e, cause) {
				return false
			}
		}
		return true
	}
	return errors.Is(err, cause) && !isStopped(err)
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
		if len(p.Brokers) == 0 && c.Kafka.Embedded != nil && f.gateway.url == "" {
			return p, fmt.Errorf("the Kafka of %s runs inside another process: give its address with --brokers", f.config)
		}
		if !prefixGiven {
			prefix = c.Topics.Prefix
		}
		p.Validator.OrganizationPattern = c.Events.OrganizationPattern
	}
	if f.gateway.url != "" {
		return p, nil
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

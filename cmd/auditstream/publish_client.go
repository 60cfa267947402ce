package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/feed"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// gatewayFlags say which gateway events go through.
type gatewayFlags struct {
	url     string // empty: none
	keyFile string
	keyEnv  string
	gzip    bool
}

func (g *gatewayFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&g.url, "gateway", "", "`URL` of a gateway to publish through, in place of Kafka")
	flags.StringVar(&g.keyFile, "key-file", "", "`FILE` with the gateway's API key")
	flags.StringVar(&g.keyEnv, "key-env", "", "`NAME` of the environment variable with the gateway's API key")
	flags.BoolVar(&g.gzip, "gzip", false, "pack what goes to the gateway with gzip in place of zstd")
}

// check finds what contradicts itself on the command line.
func (g *gatewayFlags) check(f publishFlags) error {
	switch {
	case g.url == "" && (g.keyFile != "" || g.keyEnv != "" || g.gzip):
		return errors.New("--key-file, --key-env and --gzip go with --gateway")
	case g.url == "":
		return nil
	case len(f.brokers) > 0 || f.topic != "":
		return errors.New("--brokers and --topic say where Kafka is, and --gateway where a gateway is: give one of the two")
	case (g.keyFile == "") == (g.keyEnv == ""):
		return errors.New("--gateway needs an API key: give --key-file FILE or --key-env NAME")
	}
	if u, err := url.Parse(g.url); err == nil && u.Scheme == "http" && !config.Loopback(net.JoinHostPort(u.Hostname(), "80")) {
		return fmt.Errorf("--gateway: %s is plain HTTP to another machine: whoever is in between would read the API key; give an https address", g.url)
	}
	return nil
}

// publishClient publishes to Kafka, or through a gateway.
type publishClient struct {
	feed.Publisher
	where string // for people
	close func(context.Context) error
}

// client makes the one that the command line asks for.
func (f publishFlags) client(cmd *cobra.Command, conf producer.Config, screen *screen) (*publishClient, error) {
	if f.gateway.url != "" {
		return f.gateway.client(cmd.Context(), f.timeout, conf.Check, screen)
	}
	log, err := newLogger(config.Log{Level: "warn", Format: "console"}, cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	traces, exported, err := app.Traces(cmd.Context(), versionString(), log)
	if err != nil {
		return nil, usageError(err)
	}
	conf.Traces = traces
	client, err := producer.New(conf)
	if err != nil {
		exported()
		return nil, usageError(err)
	}
	return &publishClient{client, "Kafka at " + strings.Join(conf.Brokers, ", "), func(ctx context.Context) error {
		defer exported()
		return client.Close(ctx)
	}}, nil
}

func (g *gatewayFlags) client(ctx context.Context, timeout time.Duration, check func(*schema.Event) schema.Violations, screen *screen) (*publishClient, error) {
	ref := secret.Ref{File: g.keyFile, Env: g.keyEnv}
	if _, err := ref.Resolve(ctx); err != nil {
		return nil, usageError(fmt.Errorf("the gateway's API key: %w", err))
	}
	said := time.Time{}
	client, err := feed.NewGateway(feed.GatewayConfig{ //nolint:contextcheck // what is under way is finished when the command is told to stop
		URL: g.url, Key: ref.Resolve, Gzip: g.gzip, Timeout: timeout, Stopping: ctx,
		Waiting: func(why string, pause time.Duration) {
			if time.Since(said) > patience {
				said = time.Now()
				screen.print(fmt.Sprintf("%s; sending again in %s", why, pause.Round(100*time.Millisecond)))
			}
		},
	})
	if err != nil {
		return nil, usageError(err)
	}
	var publisher feed.Publisher = client
	if check != nil {
		publisher = checking{client, check}
	}
	return &publishClient{publisher, "the gateway at " + g.url, func(context.Context) error {
		client.Close()
		return nil
	}}, nil
}

// checking refuses what a check finds something wrong with, as the producer does.
type checking struct {
	feed.Publisher
	check func(*schema.Event) schema.Violations
}

func (c checking) PublishAsync(ctx context.Context, e *schema.Event, done func(error)) {
	if violations := c.check(e); len(violations) > 0 {
		done(violations)
		return
	}
	c.Publisher.PublishAsync(ctx, e, done)
}

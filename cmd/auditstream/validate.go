package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks/all"
)

func newValidate() *cobra.Command {
	var reference, secrets bool
	output := "table"
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration, and say what it would do",
		Long: `Check a configuration without connecting to anything, and say what it would do.

Every problem is told at once as FILE:LINE:COLUMN: PATH: what is wrong and what to do.
Secrets are not read, unless --secrets asks whether each of them is there.

Exit codes: 0 the configuration is valid, 1 it is not, 2 it could not be read.`,
		Example: `  auditstream validate auditstream.yaml
  auditstream validate --secrets auditstream.yaml
  auditstream validate --reference | less`,
		Args: func(cmd *cobra.Command, args []string) error {
			want := cobra.ExactArgs(1)
			if reference {
				want = cobra.NoArgs
			}
			if err := want(cmd, args); err != nil {
				return usageError(fmt.Errorf("%w; see auditstream validate --help", err))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if reference {
				_, err := io.WriteString(cmd.OutOrStdout(), config.Reference)
				return err
			}
			if output != "table" && output != "json" {
				return usageError(fmt.Errorf("--output %q is unknown; there are: table, json", output))
			}
			report, err := validate(cmd.Context(), args[0], secrets)
			if err != nil {
				return usageError(err)
			}
			if output == "json" {
				err = report.printJSON(cmd.OutOrStdout())
			} else {
				err = report.print(cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if err == nil && !report.Valid {
				err = &exitError{exitFailed, nil}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&reference, "reference", false, "print the reference configuration, which documents every setting")
	cmd.Flags().BoolVar(&secrets, "secrets", false, "also read every secret that the file refers to; none is printed")
	cmd.Flags().StringVarP(&output, "output", "o", output, "table or json")
	return cmd
}

// validation is what validate prints with -o json.
type validation struct {
	File     string           `json:"file"`
	Valid    bool             `json:"valid"`
	Problems []config.Problem `json:"problems,omitempty"`
	More     int              `json:"more_problems,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`

	Brokers  []string          `json:"brokers,omitempty"`
	Embedded string            `json:"embedded,omitempty"` // directory
	Topics   []string          `json:"topics,omitempty"`
	Streams  []validatedStream `json:"streams,omitempty"`
	Secrets  int               `json:"secrets,omitempty"` // references

	config *config.Config
}

type validatedStream struct {
	ID             string   `json:"id"`
	OrganizationID string   `json:"organization_id"`
	Kind           string   `json:"kind"`
	Actions        []string `json:"actions,omitempty"`
	Start          string   `json:"start"`
	Paused         bool     `json:"paused,omitempty"`
}

// validate fails only when the file cannot be read.
func validate(ctx context.Context, path string, secrets bool) (*validation, error) {
	v := &validation{File: path}
	c, err := config.Load(path, all.Kinds())
	if problems, ok := errors.AsType[*config.Error](err); ok {
		v.Problems, v.More = problems.Problems, problems.More
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	v.config = c
	v.Brokers = c.Kafka.Brokers
	if c.Kafka.Embedded != nil {
		v.Embedded = c.Kafka.Embedded.Dir
	}
	v.Topics = c.Topics.Kafka().Names()
	for _, s := range c.Streams {
		v.Streams = append(v.Streams, validatedStream{
			ID: s.ID, OrganizationID: s.OrganizationID, Kind: s.Kind, Actions: s.Actions,
			Start: s.Start.String(), Paused: s.Paused,
		})
	}
	v.Secrets = len(c.Secrets())
	if secrets {
		v.resolve(ctx)
	}
	v.Valid = len(v.Problems) == 0
	return v, nil
}

// resolve reads every secret once, however often it is referred to.
func (v *validation) resolve(ctx context.Context) {
	known := map[string]error{}
	for _, s := range v.config.Secrets() {
		name := s.Ref.String()
		err, again := known[name]
		if !again {
			_, err = s.Ref.Resolve(ctx)
			known[name] = err
			if exposed := s.Ref.Exposed(); exposed != "" {
				v.Warnings = append(v.Warnings, fmt.Sprintf("%s: secret %s: %s", s.Path, name, exposed))
			}
		}
		if err != nil {
			v.Problems = append(v.Problems, config.Problem{File: v.File, Path: s.Path, Message: err.Error()})
		}
	}
}

func (v *validation) printJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// shownStreams bounds the table: it is a summary.
const shownStreams = 20

func (v *validation) print(out, problems io.Writer) error {
	for _, warning := range v.Warnings {
		fmt.Fprintf(problems, "%s: warning: %s\n", v.File, warning) //nolint:errcheck // there is nowhere else to tell
	}
	if !v.Valid {
		_, err := fmt.Fprintln(problems, &config.Error{Problems: v.Problems, More: v.More})
		return err
	}
	t := v.config.Topics
	var b strings.Builder
	fmt.Fprintf(&b, "%s is valid\n\n", v.File)
	if v.Embedded != "" {
		fmt.Fprintf(&b, "Kafka: embedded, data in %s\n", v.Embedded)
	} else {
		fmt.Fprintf(&b, "Kafka: %s\n", strings.Join(v.Brokers, ", "))
	}
	fmt.Fprintf(&b, "Topics: %s (%s, replication %d)\n", strings.Join(v.Topics, ", "), units.Count(t.Partitions, "partition", "partitions"), t.Replication)
	fmt.Fprintf(&b, "Kept: events %v, dead letters %v\n", t.Retention, t.DeadLetterRetention)
	fmt.Fprintf(&b, "Secrets: %s\n", v.secretSummary())
	fmt.Fprintf(&b, "Streams: %d\n", len(v.Streams))
	if len(v.Streams) > 0 {
		b.WriteByte('\n')
		v.streamTable(&b)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (v *validation) secretSummary() string {
	if v.Secrets == 0 {
		return "none"
	}
	return units.Count(v.Secrets, "reference", "references")
}

func (v *validation) streamTable(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STREAM\tKIND\tORGANIZATION\tACTIONS\tSTART") //nolint:errcheck // a strings.Builder takes all
	for _, s := range v.Streams[:min(len(v.Streams), shownStreams)] {
		actions := strings.Join(s.Actions, " ")
		if actions == "" {
			actions = "all"
		}
		start := s.Start
		if s.Paused {
			start += ", paused"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.ID, s.Kind, s.OrganizationID, actions, start) //nolint:errcheck // as above
	}
	w.Flush() //nolint:errcheck // as above
	if more := len(v.Streams) - shownStreams; more > 0 {
		fmt.Fprintf(b, "and %d more\n", more)
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/all"
)

// declared is a stream as a file has it, with its secrets.
type declared struct {
	id    string
	line  int
	draft admin.Draft
}

// readStreams reads a file of streams, and the secrets that it names on this machine. Nothing
// of them is shown.
func readStreams(cmd *cobra.Command, path string) ([]declared, error) {
	name, in := path, cmd.InOrStdin()
	if path == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(path)
		if err != nil {
			return nil, usageError(err)
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, config.MaxFile+1))
	if err != nil {
		return nil, usageError(err)
	}
	streams, err := config.ParseDeclared(name, data, all.Kinds(), nil)
	if err != nil {
		return nil, usageError(err)
	}
	out := make([]declared, 0, len(streams))
	var errs []error
	for _, s := range streams {
		draft, err := resolved(cmd.Context(), s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: stream %q: %w", name, s.Line, s.Stream.ID, err))
		}
		out = append(out, declared{id: s.Stream.ID, line: s.Line, draft: draft})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usageError(err)
	}
	return out, nil
}

// resolved is a stream's document with the secrets themselves in the places of those that are
// kept on this machine.
func resolved(ctx context.Context, s config.Declared) (admin.Draft, error) {
	replace := func(pointer string, r *secret.Ref) error {
		if !r.Named() {
			return nil
		}
		value, err := r.Resolve(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", pointer, err)
		}
		if !config.Edit(s.Document, pointer, map[string]any{"value": value}) {
			return fmt.Errorf("%s: is not in the document", pointer)
		}
		return nil
	}
	err := s.Stream.Refs(replace)
	for i := range s.Stream.Mask { // keys of masks are no settings of the destination
		err = errors.Join(err, replace(fmt.Sprintf("/mask/%d/key", i), &s.Stream.Mask[i].Key))
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(s.Document)
}

// planning is what stream plan and stream apply are asked for.
type planning struct{ prune, drain, drop bool }

func (p *planning) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&p.prune, "prune", false, "also delete the streams made over the API that are not in the file; with --drain or --drop")
	flags.BoolVar(&p.drain, "drain", false, "with --prune: they deliver what waits first")
	flags.BoolVar(&p.drop, "drop", false, "with --prune: they are deleted at once")
}

func (p *planning) check() error {
	switch {
	case p.prune && p.drain == p.drop:
		return errors.New("say what becomes of what waits in the streams that are deleted: --drain or --drop")
	case !p.prune && (p.drain || p.drop):
		return errors.New("--drain and --drop go with --prune")
	}
	return nil
}

// planned is what applying a file would do.
type planned struct {
	Streams   []admin.Plan `json:"streams"`
	Deletions []deletion   `json:"deletions,omitempty"`
}

// deletion is a stream that the file does not have.
type deletion struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Lag     int64  `json:"lag"`
	Cursor  string `json:"cursor"`
}

func (p *planned) differ() bool {
	return len(p.Deletions) > 0 || slices.ContainsFunc(p.Streams, func(s admin.Plan) bool { return s.Action != "none" })
}

// plan asks what would change.
func (p *planning) plan(ctx context.Context, s admin.Service, streams []declared) (*planned, error) {
	out := &planned{Streams: make([]admin.Plan, 0, len(streams))}
	var errs []error
	wrong := false // with the file
	for _, d := range streams {
		plan, err := s.PlanStream(ctx, d.draft)
		if err != nil {
			wrong = wrong || errors.Is(err, admin.CodeInvalid.Err())
			errs = append(errs, fmt.Errorf("stream %q: %w", d.id, err))
			continue
		}
		out.Streams = append(out.Streams, *plan)
	}
	if err := errors.Join(errs...); err != nil {
		if wrong {
			err = usageError(err)
		}
		return nil, err
	}
	if !p.prune {
		return out, nil
	}
	have, err := s.Streams(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range have {
		if h.Owner != sinks.OwnerAPI || slices.ContainsFunc(streams, func(d declared) bool { return d.id == h.ID }) {
			continue
		}
		d := deletion{ID: h.ID, Version: h.Version, Lag: h.Lag, Cursor: fmt.Sprintf("goes on until what waits is delivered, at most %s now", eventsText(h.Lag))}
		if p.drop {
			d.Cursor = fmt.Sprintf("ends where it is: what waits, at most %s now, never will be delivered", eventsText(h.Lag))
		}
		out.Deletions = append(out.Deletions, d)
	}
	slices.SortFunc(out.Deletions, func(a, b deletion) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/verify"
)

// Exit codes of verify: what was found.
const (
	exitNotCovered = 3
	exitMissing    = 4
	exitAltered    = 5
	exitReordered  = 6
)

// verifyFlags are what the command is told.
type verifyFlags struct {
	keys        []string
	statements  []string
	checkpoints []string
	from, to    string
	ordered     bool
	digests     bool // suffice
	event       string
	proof       string
	consistency []string
	output      string
	bucket      verify.BucketOptions
	cluster     clusterFlags
	stream      string
}

func newVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify --key KEY SOURCE...",
		Short: "Check that what a receiver has of feeds is complete and unaltered",
		Long: `Check that what a receiver has of feeds is complete and unaltered. Nothing is asked of
whoever sent it: the events' numbers and hashes have to lead to the checkpoints that the
key has signed.

A SOURCE is a file with an export of Splunk or Datadog (lines of JSON, or CSV), a file or
directory of the destination file, a bucket (s3://BUCKET/PREFIX) or a directory with a copy
of it, or - for standard input. Files may be packed by gzip or zstd. docs/verify.md has the searches that export what
is read here.

Checkpoints are taken from the sources, and from the files of --checkpoints, of which each
may hold any number. The key is what GET /.well-known/auditstream/keys of the sender served
when you began; keys that replaced it are in statements that it has signed (--keys).

Of each feed everything has to be there from its first event to its last checkpoint; with
--from and --to, from the last checkpoint at or before the one to the first at or after the
other. Events that came twice are no tampering. Of events of which only the digest is there
(an export without them) nobody knows what they say, and the answer is that they were not
checked; --digests-suffice accepts them.

  --config FILE --stream ID checks Kafka itself: makes the stream's chains anew from the
                            events there, and holds them against the checkpoints there

  --event ID --proof FILE   writes a proof of one event, which its holder can show to others
  --proof FILE              without a SOURCE: checks one
  --consistency A,B         says whether the events lead from one checkpoint to another

  table  sentences for people
  json   one object
  yaml   the same

Exit codes: 0 complete and unaltered; 1 something could not be read or checked; 2 wrong
arguments; 3 nothing contradicts it, but checkpoints do not vouch for all of it; 4 events
are missing; 5 events were altered or inserted, or two signed statements contradict each
other; 6 events are not in their order. Of several, the first of 5, 4, 6, 1, 3.`,
		Example: `  auditstream verify --key audit.example.com+4ffeabe4+Af… splunk.ndjson
  auditstream verify --key key.pub --checkpoints archive.txt --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z export.csv
  auditstream verify --key key.pub --event audit_event_01KAQ7E5T0SVZ5B5X5V2Q0J6YD --proof event.tlog-proof /var/audit/acme
  auditstream verify --key key.pub --proof event.tlog-proof
  auditstream verify --key key.pub --region eu-central-1 s3://acme-audit/audit/
  zcat export.json.gz | auditstream verify --key key.pub -o json - | jq '.feeds[] | select(.verdict != "complete")'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(f.output); err != nil {
				return err
			}
			o, err := f.options()
			if err != nil {
				return usageError(err)
			}
			switch kafka := f.stream != "" || f.cluster.config != ""; {
			case kafka && (f.stream == "" || f.cluster.config == "" || len(args) > 0):
				return usageError(errors.New("--stream and --config belong together, and a SOURCE is not checked with them"))
			case kafka:
				return f.topic(cmd, o)
			case len(args) == 0:
				return f.withoutSource(cmd.OutOrStdout(), o)
			}
			return f.run(cmd, o, args)
		},
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "public `KEY` that is trusted, or a file with it")
	flags.StringArrayVar(&f.statements, "keys", nil, "`FILE` with statements of keys that replaced others: one behind another, or as the sender serves them")
	flags.StringArrayVar(&f.checkpoints, "checkpoints", nil, "`FILE` or directory with signed checkpoints, beside those of the sources")
	flags.StringVar(&f.from, "from", "", "`TIME` (RFC 3339) from which everything has to be there; else from each feed's first event")
	flags.StringVar(&f.to, "to", "", "`TIME` to which everything has to be there; else to each feed's last checkpoint")
	flags.BoolVar(&f.ordered, "ordered", false, "events stand in their order in each source: one that comes late was moved")
	flags.BoolVar(&f.digests, "digests-suffice", false, "accept events of which only the digest is there: what they say is not checked")
	flags.StringVar(&f.event, "event", "", "`ID` of an event to prove")
	flags.StringVar(&f.proof, "proof", "", "`FILE` for the proof of --event; without a source, the proof to check")
	flags.StringSliceVar(&f.consistency, "consistency", nil, "two `FILES` with a checkpoint each, with a comma between")
	flags.StringVar(&f.bucket.Endpoint, "endpoint", "", "`URL` of a store other than Amazon S3")
	flags.StringVar(&f.bucket.Region, "region", "", "`REGION` of buckets; else as the AWS command line finds it")
	flags.StringVar(&f.bucket.Profile, "profile", "", "`NAME` of a profile of the AWS command line")
	flags.StringVar(&f.stream, "stream", "", "`ID` of a stream: the events in Kafka are held against the checkpoints there")
	flags.StringVar(&f.cluster.config, "config", "", "configuration `FILE`: the cluster and topics of --stream")
	flags.StringSliceVar(&f.cluster.brokers, "brokers", nil, "`HOST:PORT` of some brokers, instead of those of the file")
	flags.DurationVar(&f.cluster.timeout, "timeout", 10*time.Second, "how long to wait for an answer of Kafka")
	addOutput(cmd, &f.output)
	return cmd
}

// options reads what flags name.
func (f *verifyFlags) options() (verify.Options, error) {
	o := verify.Options{Want: f.event}
	o.Ordered, o.DigestsSuffice = f.ordered, f.digests
	var err error
	if o.From, err = verifyTime("--from", f.from); err != nil {
		return o, err
	}
	if o.Until, err = verifyTime("--to", f.to); err != nil {
		return o, err
	}
	if !o.From.IsZero() && !o.Until.IsZero() && o.Until.Before(o.From) {
		return o, errors.New("--to is before --from")
	}
	if n := len(f.consistency); n != 0 && n != 2 {
		return o, fmt.Errorf("--consistency takes two files, and got %d", n)
	}
	if f.event != "" && f.proof == "" {
		return o, errors.New("--event needs --proof, the file to write")
	}
	if len(f.keys) == 0 {
		if len(f.statements) > 0 {
			return o, errors.New("--keys needs --key: a statement counts if a trusted key has signed it")
		}
		return o, nil
	}
	var keys []string
	for _, k := range f.keys {
		key, err := keyOrFile(k)
		if err != nil {
			return o, err
		}
		keys = append(keys, key)
	}
	if o.Keys, err = integrity.NewKeys(keys...); err != nil {
		return o, fmt.Errorf("--key: %w", err)
	}
	for _, path := range f.statements {
		statements, err := verify.ReadStatements(path)
		if err != nil {
			return o, fmt.Errorf("--keys: %w", err)
		}
		switch err := o.Keys.AddAll(statements); {
		case errors.Is(err, integrity.ErrTwoHeirs):
			o.Found = append(o.Found, integrity.Finding{Kind: integrity.Forked, Where: path, Detail: err.Error()})
		case err != nil:
			return o, fmt.Errorf("--keys: %s: %w", path, err)
		}
	}
	return o, nil
}

// keyOrFile is a public key, or what stands in the file of that name.
func keyOrFile(text string) (string, error) {
	if strings.Count(text, "+") >= 2 && !strings.ContainsAny(text, "/\\") {
		return text, nil
	}
	b, err := os.ReadFile(text)
	switch {
	case errors.Is(err, os.ErrNotExist) && strings.Count(text, "+") >= 2:
		return text, nil // the base64 of keys has slashes too
	case errors.Is(err, os.ErrNotExist): // not shown: a secret key may have been given by mistake
		return "", errors.New("--key: what was given is no public key (NAME+HASH+KEY), and there is no file of that name")
	case err != nil:
		return "", fmt.Errorf("--key: %w", err)
	case len(b) > 1000:
		return "", fmt.Errorf("--key: %s holds more than a key", text)
	}
	return strings.TrimSpace(string(b)), nil
}

func verifyTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%s %q is no time like 2026-11-01T00:00:00Z", flag, text)
	}
	return t, nil
}

// run checks sources.
func (f *verifyFlags) run(cmd *cobra.Command, o verify.Options, args []string) (err error) {
	var sources []verify.Source
	for _, path := range slices.Concat(f.checkpoints, f.consistency) {
		notes, err := verify.OpenNotes(path)
		if err != nil {
			return usageError(err)
		}
		sources = append(sources, notes)
	}
	var pair *verify.Pair
	if len(f.consistency) == 2 {
		if pair, err = verify.ReadPair(o.Keys, f.consistency[0], f.consistency[1]); err != nil {
			return usageError(fmt.Errorf("--consistency: %w", err))
		}
		o.Pair = pair
	}
	for _, arg := range args {
		opened, err := f.openSource(cmd.Context(), cmd.InOrStdin(), arg)
		if _, told := errors.AsType[*exitError](err); told || err != nil && cmd.Context().Err() != nil {
			return stopped(cmd.Context(), err)
		}
		if err != nil {
			return usageError(err)
		}
		for _, s := range opened {
			if c, ok := s.(io.Closer); ok {
				defer c.Close() //nolint:errcheck // it was only read
			}
		}
		sources = append(sources, opened...)
	}
	return f.check(cmd, o, sources)
}

// topic checks the events topic against the checkpoints in Kafka.
func (f *verifyFlags) topic(cmd *cobra.Command, o verify.Options) error {
	return f.cluster.operate(cmd.Context(), zap.NewNop(), func(_ *config.Config, op *app.Operator) error {
		feed, keys, err := op.OpenTopicFeed(cmd.Context(), f.stream, o.From, o.Keys)
		if err != nil {
			return err
		}
		if feed.Forged != nil {
			o.Found = append(o.Found, integrity.Finding{Kind: integrity.Forked, Detail: feed.Forged.Error()})
		}
		o.Keys, o.From, o.Reach = keys, time.Time{}, o.From // where each chain begins is found out by its offsets
		return f.check(cmd, o, []verify.Source{feed})
	})
}

// check checks sources, and says what was found.
func (f *verifyFlags) check(cmd *cobra.Command, o verify.Options, sources []verify.Source) error {
	bar := newJobScreen(cmd.ErrOrStderr())
	size := int64(0)
	for _, s := range sources {
		size += 2 * s.Size()
	}
	// Each source is gone through twice, and what that takes is told in its own measure: bytes
	// that are read, or offsets.
	bar.show("checking", max(size, 1), progressbar.OptionShowBytes(f.stream == ""), progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("offsets"),
		progressbar.OptionSetRenderBlankState(true))
	o.Progress = func(n int64) { bar.move(n, false) }
	report, err := verify.Run(cmd.Context(), o, sources...)
	bar.done()
	if err != nil {
		return stopped(cmd.Context(), err)
	}
	if o.Want != "" {
		if report.NoProof != nil {
			return errors.Join(printVerification(cmd.OutOrStdout(), report, f.output), &exitError{exitFailed, fmt.Errorf("there is no proof: %w", report.NoProof)})
		}
		if err := os.WriteFile(f.proof, report.Proof.Text(), 0o644); err != nil { //nolint:gosec // a proof is there to be shown
			return err
		}
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "The proof is in %s.\n", f.proof); err != nil {
			return err
		}
	}
	return errors.Join(printVerification(cmd.OutOrStdout(), report, f.output), verdictError(report.Verdict))
}

// stopped says what it means when a check was ended from outside: what was not read may be
// anything.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &exitError{exitFailed, errors.New("stopped before everything was read: nothing is said about what is there")}
}

// openSource opens what one argument names.
func (f *verifyFlags) openSource(ctx context.Context, stdin io.Reader, arg string) ([]verify.Source, error) {
	if arg == "-" {
		e, err := verify.Spool(ctx, stdin, "standard input")
		return []verify.Source{e}, err
	}
	if strings.HasPrefix(arg, verify.BucketScheme) {
		s, err := verify.OpenBucket(ctx, arg, f.bucket)
		if err != nil {
			return nil, &exitError{exitFailed, err}
		}
		return []verify.Source{s}, nil
	}
	return verify.Open(ctx, arg)
}

// withoutSource checks a proof.
func (f *verifyFlags) withoutSource(out io.Writer, o verify.Options) error {
	switch {
	case f.proof == "" || f.event != "":
		return usageError(errors.New("say what to check: a file, a directory, or - for standard input; see auditstream verify --help"))
	case o.Keys == nil:
		return usageError(errors.New("--key is needed: a proof counts if a trusted key has signed its checkpoint"))
	}
	text, err := os.ReadFile(f.proof)
	if err != nil {
		return usageError(err)
	}
	p, err := integrity.ParseProof(text)
	if err != nil {
		return usageError(err)
	}
	shown := showProof(p, o)
	switch {
	case f.output == outputJSON:
		err = printJSON(out, shown)
	case f.output == outputYAML:
		err = printYAML(out, shown)
	case shown.Verdict == integrity.Complete:
		_, err = fmt.Fprintf(out, "%s\n%s\n", printable(shown.Sentence), printable(shown.Event))
	default:
		_, err = fmt.Fprintln(out, printable(shown.Sentence))
	}
	return errors.Join(err, verdictError(shown.Verdict))
}

// proofShown is what a proof has shown.
type proofShown struct {
	Verdict  integrity.Verdict `json:"verdict"` // complete, not_covered or altered
	Sentence string            `json:"sentence"`
	Origin   string            `json:"origin,omitempty"`
	Number   int64             `json:"number,omitempty"`
	Size     int64             `json:"size,omitempty"`
	Time     *time.Time        `json:"time,omitempty"`
	Event    string            `json:"event,omitempty"`
}

// showProof checks a proof.
func showProof(p *integrity.Proof, o verify.Options) proofShown {
	c, err := p.Check(o.Keys)
	switch {
	case len(o.Found) > 0: // two have the trust of one key: neither can vouch for anything
		return proofShown{Verdict: integrity.Tampered, Sentence: o.Found[0].String()}
	case errors.Is(err, integrity.ErrNotVouched):
		return proofShown{Verdict: integrity.NotCovered, Sentence: err.Error()}
	case err != nil:
		return proofShown{Verdict: integrity.Tampered, Sentence: err.Error()}
	}
	return proofShown{
		integrity.Complete, fmt.Sprintf("The event is number %d of the feed %s, as the checkpoint of %s over %d events vouches.", p.Number, c.Origin, c.Time.Format(time.RFC3339), c.Size),
		c.Origin, p.Number, c.Size, &c.Time, string(p.Event),
	}
}

func printVerification(out io.Writer, r *verify.Report, output string) error {
	switch output {
	case outputJSON:
		return printJSON(out, r)
	case outputYAML:
		return printYAML(out, r)
	}
	var b strings.Builder
	fmt.Fprintln(&b, printable(r.Sentence))
	for i := range r.Feeds {
		fmt.Fprintf(&b, "  %s\n", printable(r.Feeds[i].Sentence))
	}
	for _, x := range r.Findings {
		fmt.Fprintf(&b, "  %s\n", printable(x.String()))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// verdictError is the exit code of what was found; the sentences say it already.
func verdictError(v integrity.Verdict) error {
	code, ok := map[integrity.Verdict]int{
		integrity.NotCovered: exitNotCovered, integrity.Unchecked: exitFailed, integrity.Shuffled: exitReordered,
		integrity.Lacking: exitMissing, integrity.Tampered: exitAltered,
	}[v]
	if !ok {
		return nil
	}
	return &exitError{code: code}
}

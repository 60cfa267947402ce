package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/doctor"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks/all"
)

func newDoctor() *cobra.Command {
	var f clusterFlags
	var c doctor.Config
	var output string
	cmd := &cobra.Command{
		Use:   "doctor --config FILE",
		Short: "Look at everything that delivery depends on, and say what to do",
		Long: `Look at everything that delivery depends on, from this machine, and say what to do about what
is wrong.

  config        the file is valid
  secrets       each reference can be read here; none is printed
  memory        what delivery aims at, against the limit of the container or machine
  open files    how many may be open, against the connections that delivery may have
  disk          of the embedded Kafka
  brokers       each answers, over TLS and as the user that is configured
  versions      the brokers' features
  topics        they are there, with the settings that delivery depends on
  replicas      each partition has a leader, and its replicas are in sync
  permissions   what this user may do with the topics
  clock         with --write: the brokers' clocks against this machine's
  transactions  none is open that holds back what was published behind it
  disks         of the brokers
  groups        processes deliver each kind of streams
  streams       none is in error, each change is in force
  retention     nothing waits that Kafka will soon forget
  dead letters  open ones of the last day
  integrity     the key that signs checkpoints: it can be read, by nobody else, and those who
                verify trust it
  checkpoints   none is late, and the key has signed the last ones
  archive       with --destinations: the bucket is there, and locks what is put there; with
                --write too: it can be written
  destinations  with --destinations: names, addresses, certificates; no event is sent
                ("stream test" sends one)

It changes nothing. With --write one record is written to the topic of streams, in a
transaction that is given up, so that nobody ever reads it; and with --destinations one
object, _doctor.txt, to the archive of checkpoints, where it stays if the bucket locks it.

  table  a line a finding, as it comes
  json   one object a line, as it comes
  yaml   a list

Exit codes: 0 nothing is wrong; 1 something is; 2 wrong arguments, or the file cannot be read;
3 nothing is wrong, but there are warnings. What was skipped counts as neither.`,
		Example: `  auditstream doctor --config auditstream.yaml
  auditstream doctor --config auditstream.yaml --write --destinations
  auditstream doctor --config auditstream.yaml -o json | jq -r 'select(.status == "fail") | .do'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if f.timeout <= 0 {
				return usageError(fmt.Errorf("--timeout %s is no time to wait", f.timeout))
			}
			p := &doctorPrinter{out: cmd.OutOrStdout(), output: output}
			read, err := config.Load(f.config, all.Kinds())
			switch problems, ok := errors.AsType[*config.Error](err); {
			case ok:
				for _, problem := range problems.Problems {
					p.print(doctor.Finding{Check: "config", Status: doctor.Fail, Found: problem.String(), Do: "mend the file; auditstream validate --reference documents every setting"})
				}
			case err != nil:
				return usageError(err)
			default:
				c.Config, c.File, c.Timeout, c.Version = read, f.config, f.timeout, versionString()
				c.Brokers, c.NoBrokers = doctorBrokers(read, f.brokers)
				err = doctor.Run(cmd.Context(), c, p.print)
				if err != nil {
					return err
				}
			}
			return p.end()
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&c.Destinations, "destinations", false, "look at the network between here and the destinations")
	flags.BoolVar(&c.Write, "write", false, "write one record that nobody reads: shows that writing works, and the brokers' time")
	addOutput(cmd, &output)
	return cmd
}

// doctorBrokers are the brokers that are looked at, or why there are none.
func doctorBrokers(c *config.Config, given []string) (brokers []string, none string) {
	switch embedded := c.Kafka.Embedded; {
	case len(given) > 0:
		return given, ""
	case embedded == nil:
		return c.Kafka.Brokers, ""
	case embedded.Port != 0:
		return []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(int(embedded.Port)))}, ""
	}
	return nil, "the embedded Kafka runs inside another process, at a port of its choice: give it with --brokers"
}

// doctorPrinter prints findings as they come.
type doctorPrinter struct {
	out    io.Writer
	output string
	all    []doctor.Finding
	err    error
}

func (p *doctorPrinter) print(f doctor.Finding) {
	p.all = append(p.all, f)
	if p.err != nil {
		return
	}
	switch p.output {
	case outputJSON:
		encoder := json.NewEncoder(p.out)
		encoder.SetEscapeHTML(false)
		p.err = encoder.Encode(f)
	case outputTable:
		_, p.err = p.out.Write(findingText(f, colours(p.out)))
	}
}

// findingText is a finding as people read it.
func findingText(f doctor.Finding, coloured bool) []byte {
	var b bytes.Buffer
	colour := map[doctor.Status]string{doctor.Fail: colourBad, doctor.Warn: colourHeld}[f.Status]
	line := fmt.Sprintf("%-7s  %-12s  %s", f.Status, f.Check, printable(f.Found))
	if coloured && colour != "" {
		line = colour + line + colourReset
	}
	fmt.Fprintln(&b, line)
	if f.Do != "" {
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat(" ", 23)+"→ ", printable(f.Do))
	}
	return b.Bytes()
}

// end prints what is left and says by the exit code what was found.
func (p *doctorPrinter) end() error {
	counts := map[doctor.Status]int{}
	for _, f := range p.all {
		counts[f.Status]++
	}
	if p.output == outputYAML && p.err == nil {
		p.err = printYAML(p.out, p.all)
	}
	if p.output == outputTable && p.err == nil {
		_, p.err = fmt.Fprintf(p.out, "\n%d ok, %s, %s, %d skipped\n", counts[doctor.OK], units.Count(counts[doctor.Warn], "warning", "warnings"), units.Count(counts[doctor.Fail], "failure", "failures"), counts[doctor.Skipped])
	}
	switch {
	case p.err != nil:
		return p.err
	case counts[doctor.Fail] > 0:
		return &exitError{exitFailed, nil}
	case counts[doctor.Warn] > 0:
		return &exitError{exitPartly, nil}
	}
	return nil
}

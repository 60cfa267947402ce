package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/internal/units"
)

// minWatch bounds how often streams are listed: each time costs Kafka some requests.
const minWatch = time.Second

// clear empties a terminal and goes to its beginning.
const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

// watchStreams lists the streams until the command is interrupted. On a terminal each list
// takes the place of the one before; elsewhere they follow each other, so that a program can
// read them.
func watchStreams(cmd *cobra.Command, s admin.Service, output string, every time.Duration) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	inPlace := output == outputTable && terminal(out)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var page bytes.Buffer
		list, err := s.Streams(ctx)
		if ctx.Err() != nil {
			return nil
		}
		now := time.Now()
		switch {
		case err != nil && !passing(err):
			return err
		case err != nil:
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", timeText(&now), printable(err.Error())) //nolint:errcheck // there is nowhere else to tell
		case output == outputTable:
			fmt.Fprintf(&page, "%s, %s\n\n", timeText(&now), units.Count(len(list), "stream", "streams"))
			err = printStreamTableTo(&page, list, colours(out))
			page.WriteByte('\n')
		case output == outputYAML:
			page.WriteString("---\n")
			err = printStreams(&page, list, output)
		default:
			err = printStreams(&page, list, output)
		}
		if page.Len() > 0 {
			if inPlace {
				page = *bytes.NewBufferString(clearScreen + page.String())
			}
			if _, err := out.Write(page.Bytes()); err != nil {
				return err
			}
			if err := errors.Join(err, printHeldBack(cmd, s)); err != nil && ctx.Err() == nil && !passing(err) {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// passing says whether an error may be over when it is asked again.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	e, known := errors.AsType[*admin.Error](err)
	return !known || e.Code == admin.CodeUnavailable || e.Code == admin.CodeBusy
}

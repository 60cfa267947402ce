package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/ndjson"
	"github.com/auditstream/auditstream/internal/sample"
	"github.com/auditstream/auditstream/schema"
)

const minimal = `{"action":"a","occurredAt":"2026-01-02T03:04:05Z","actor":{"id":"1","type":"user"},"targets":[]}`

// What a script cannot hold: line ends, a byte order mark, a line beyond the limit.
func TestSchemaCheckReadsLinesAsTheyCome(t *testing.T) {
	long := strings.Repeat("x", ndjson.MaxLine+1)
	tests := []struct {
		name, input    string
		valid, invalid int
		want           string
	}{
		{"carriage returns, a byte order mark and blank lines", "\ufeff" + minimal + "\r\n\r\n \n" + minimal + "\r\n{}\r", 2, 1, "f:5: /action: required\nf:5: /occurred_at: required\nf:5: /actor: required\nf:5: /targets: required\n"},
		{"a line beyond the limit, then another", minimal + "\n" + long + "\n" + minimal, 2, 1, "f:2: too_large: the line has 2000001 bytes, the limit is 2000000\n"},
		{"an event beyond the limit", strings.Replace(minimal, `"a"`, `"`+strings.Repeat("a", schema.DefaultMaxBytes)+`"`, 1), 0, 1, fmt.Sprintf("f:1: too_large: the event has %d bytes, the limit is 1000000; shorten its metadata\n", len(minimal)+schema.DefaultMaxBytes-1)},
		{"nothing", "", 0, 0, ""},
		{"the sample feed", sample.Feed, strings.Count(sample.Feed, "\n"), 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			c := eventCheck{file: "f", validator: schema.Validator{OrganizationOptional: true}, print: printViolation(&out)}
			if err := c.run(t.Context(), strings.NewReader(tt.input)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if c.valid != tt.valid || c.invalid != tt.invalid {
				t.Errorf("%d valid and %d invalid, want %d and %d", c.valid, c.invalid, tt.valid, tt.invalid)
			}
		})
	}
}

func TestSchemaCheckStopsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := eventCheck{file: "f"}
	if err := c.run(ctx, strings.NewReader(minimal)); !errors.Is(err, context.Canceled) || c.valid != 0 {
		t.Errorf("got %v after %d events", err, c.valid)
	}
}

func TestSchemaCheckExitCodes(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.ndjson")
	bad := filepath.Join(t.TempDir(), "bad.ndjson")
	if err := errors.Join(os.WriteFile(good, []byte(minimal), 0o600), os.WriteFile(bad, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want int
	}{
		{"every event valid", []string{good}, exitOK},
		{"violations", []string{bad}, exitFailed},
		{"no such file", []string{good + ".missing"}, exitUsage},
		{"a directory", []string{t.TempDir()}, exitUsage},
		{"no file", nil, exitUsage},
		{"two files", []string{good, bad}, exitUsage},
		{"unknown flag", []string{"--unknown", good}, exitUsage},
		{"unknown output", []string{"-o", "xml", good}, exitUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := newRoot()
			root.SetArgs(append([]string{"schema", "check"}, tt.args...))
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			got := exitOK
			if err := root.ExecuteContext(t.Context()); err != nil {
				got = exitFailed
				if e, ok := errors.AsType[*exitError](err); ok {
					got = e.code
				}
			}
			if got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

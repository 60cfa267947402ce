package main

import (
	"fmt"
	"net/http/httptest"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/auditstream/auditstream/sinks/sinktest/ddlogs"
)

var intakes sync.Map // *ddlogs.Server by *testscript.TestScript

// datadog KEY starts an intake that knows one API key, and sets $DATADOG to its address.
// datadog without a KEY prints what has arrived there, an entry a line.
func datadog(ts *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) > 1 {
		ts.Fatalf("usage: datadog [KEY]")
	}
	if len(args) == 0 {
		server, ok := intakes.Load(ts)
		if !ok {
			ts.Fatalf("there is no intake")
		}
		for _, e := range server.(*ddlogs.Server).Events() {
			_, err := fmt.Fprintf(ts.Stdout(), "%s %s\n", e.Tags, e.Message)
			ts.Check(err)
		}
		return
	}
	double, err := ddlogs.New(ddlogs.Config{APIKey: args[0]})
	ts.Check(err)
	server := httptest.NewServer(double)
	ts.Defer(server.Close)
	ts.Setenv("DATADOG", server.URL)
	intakes.Store(ts, double)
}

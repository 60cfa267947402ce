package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// hecToken is what the scripts' Splunk wants to hear.
const hecToken = "6e1f2c1a-0000-4f4f-9d9d-c0ffee15dead"

// collectors are the Splunks of the scripts that run.
var collectors sync.Map // *testscript.TestScript to *collector

// collector is a Splunk that refuses events which hold a text. Requests must not be
// compressed.
type collector struct {
	*hec.Server
	refuses atomic.Pointer[string] // nil: nothing
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text := c.refuses.Load()
	if text == nil {
		c.Server.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	good, decoder := 0, json.NewDecoder(bytes.NewReader(body))
	end := int64(0)
	for {
		var envelope json.RawMessage
		if err := decoder.Decode(&envelope); err != nil {
			if errors.Is(err, io.EOF) {
				good = -1
			}
			break
		}
		if bytes.Contains(envelope, []byte(*text)) {
			break
		}
		good++
		end = decoder.InputOffset()
	}
	if good < 0 {
		end = int64(len(body))
	}
	answer := w
	if good >= 0 { // what stands before the bad event is indexed
		answer = httptest.NewRecorder()
	}
	if end > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body[:end])), end
		c.Server.ServeHTTP(answer, r)
	}
	if good >= 0 {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, good) //nolint:errcheck // the client is gone
	}
}

// hecCommands are what scripts can do with a Splunk of their own:
//
//	hec                starts one and sets $HEC to its address and $HEC_TOKEN to its token
//	hec-refuse [TEXT]  has it refuse events that hold the text, from now on; none without
//	hec-events         prints what it has taken, a line an event: live or job, id
//	hec-await N        waits until it has taken so many events
func hecCommands(commands map[string]func(*testscript.TestScript, bool, []string)) {
	of := func(ts *testscript.TestScript) *collector {
		c, ok := collectors.Load(ts)
		if !ok {
			ts.Fatalf("no hec was started")
		}
		return c.(*collector) //nolint:forcetypeassert // nothing else is stored
	}
	commands["hec"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 0 {
			ts.Fatalf("usage: hec")
		}
		double, err := hec.New(hec.Config{Token: hecToken})
		ts.Check(err)
		c := &collector{Server: double}
		server := httptest.NewServer(c)
		collectors.Store(ts, c)
		ts.Defer(func() {
			collectors.Delete(ts)
			server.Close()
		})
		ts.Setenv("HEC", server.URL)
		ts.Setenv("HEC_TOKEN", hecToken)
	}
	commands["hec-refuse"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 1 {
			ts.Fatalf("usage: hec-refuse [TEXT]")
		}
		if len(args) == 0 {
			of(ts).refuses.Store(nil)
			return
		}
		of(ts).refuses.Store(&args[0])
	}
	commands["hec-events"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 0 {
			ts.Fatalf("usage: hec-events")
		}
		var b strings.Builder
		for _, e := range of(ts).Events() {
			var event struct{ ID string }
			ts.Check(json.Unmarshal(e.Event, &event))
			how := "live"
			if bytes.Contains(e.Fields, []byte(`"auditstream_replay":"job_`)) {
				how = "job"
			}
			fmt.Fprintf(&b, "%s %s\n", how, event.ID)
		}
		_, err := io.WriteString(ts.Stdout(), b.String())
		ts.Check(err)
	}
	commands["hec-await"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: hec-await N")
		}
		deadline := time.NewTimer(scriptKafka)
		defer deadline.Stop()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for fmt.Sprint(of(ts).Len()) != args[0] {
			select {
			case <-tick.C:
			case <-deadline.C:
				ts.Fatalf("%d events have arrived, not %s", of(ts).Len(), args[0])
			}
		}
	}
}

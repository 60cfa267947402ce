package app

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/sinks/sinktest/ddlogs"
)

func TestWhatAnotherProcessAppliesIsInForceWithoutARestart(t *testing.T) {
	s := newSite(t)
	s.there()
	logs, err := ddlogs.New(ddlogs.Config{APIKey: "a-token"})
	if err != nil {
		t.Fatal(err)
	}
	datadog := httptest.NewServer(logs)
	t.Cleanup(datadog.Close)
	first := s.config(oneStream)
	first.Observe.Listen = ""
	follower := run(t, Delivery{Config: first})
	s.publish(0)
	s.delivered(30)

	// Another process has a newer file: a second stream, of a kind that the first process does
	// not deliver yet.
	second := s.config(oneStream + fmt.Sprintf(
		"  - {id: also, organization_id: \"*\", start: beginning, datadog: {url: %q, api_key: {file: %q}, linger: 0s}}\n", datadog.URL, s.tokenFile(),
	))
	second.Observe.Listen = ""
	other := run(t, Delivery{Config: second, Kinds: []string{"s3"}})
	other.logged("stream applied")
	eventually(t, "the new stream's past", func() bool { return logs.Len() >= 30 })
	s.publish(30)
	s.delivered(60)
	eventually(t, "the new stream's present", func() bool { return logs.Len() >= 60 })

	// And a newer one still: the first stream is gone.
	third := s.config(strings.Replace(oneStream, "everything", "instead", 1))
	third.Observe.Listen = ""
	last := run(t, Delivery{Config: third, Kinds: []string{"s3"}})
	last.logged("stream applied")
	follower.logged("stream deleted")
	eventually(t, "the stream made instead", func() bool { return s.splunk.Len() >= 120 })
	s.publish(60)
	eventually(t, "its present", func() bool { return s.splunk.Len() >= 150 })
	if n := s.splunk.Len(); n != 150 {
		t.Errorf("%d events at Splunk, want 60 of the first stream and 90 of the one made instead", n)
	}
	if n := logs.Len(); n != 60 {
		t.Errorf("%d entries at Datadog, want the 60 from before its stream was deleted", n)
	}
}

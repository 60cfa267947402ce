package app

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// Indexers that are busy, mute, crash with what they have not written, or leave the
// balancer; answers that are lost; processes that end in midstream: what is acknowledged is
// written, and what is written is everything.
func TestNoEventIsLostWhateverHappensToAcknowledgements(t *testing.T) {
	const rounds, perRound = 12, 30
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t)
	s.there()
	nodes := make([]*hec.Server, 3)
	for i := range nodes {
		var err error
		if nodes[i], err = hec.New(hec.Config{Token: "a-token", Acknowledgement: true}); err != nil {
			t.Fatal(err)
		}
	}
	balancer := hec.NewBalancer([]string{"SERVERID", "AWSALB", ""}[r.IntN(3)], nodes...)
	network := faults.New(balancer)
	server := httptest.NewServer(network)
	t.Cleanup(server.Close)
	run := func() *process {
		return run(t, Delivery{Config: s.config(fmt.Sprintf(`
streams:
  - id: everything
    organization_id: "*"
    start: beginning
    splunk:
      {url: %q, token: {file: %q}, linger: 0s, max_events: 5, timeout: 30s,
       acknowledge: true, acknowledge_poll: 10ms, acknowledge_timeout: 300ms, max_unacknowledged: 4}
`, server.URL, s.tokenFile()))})
	}
	network.Program(unreliable(r.Uint64()))
	p := run()
	for round := range rounds {
		s.publish(round * perRound)
		node := nodes[r.IntN(len(nodes))]
		switch r.IntN(7) {
		case 0:
			if err := node.Queue(true); err != nil {
				t.Fatal(err)
			}
		case 1:
			node.Mute(true)
		case 2:
			node.Restart()
		case 3:
			balancer.Down(r.IntN(2), true)
		case 4:
			balancer.Down(0, false)
		case 5:
			p.end()
			p = run()
		default:
			node.Mute(false)
		}
		if r.IntN(2) == 0 { // let some of it through
			want := round * perRound / 2
			for _, n := range nodes {
				if err := n.Queue(false); err != nil {
					t.Fatal(err)
				}
				n.Mute(false)
			}
			eventually(t, "half of what was published", func() bool { return rounds*perRound-len(lackingIn(t, nodes, rounds*perRound)) >= want })
		}
	}
	for _, node := range nodes {
		if err := node.Queue(true); err != nil {
			t.Fatal(err)
		}
	}
	s.publish(rounds * perRound)
	eventually(t, "events that wait at an indexer", func() bool {
		return nodes[0].Queued()+nodes[1].Queued()+nodes[2].Queued() > 0
	})
	network.Program(nil)
	for i, node := range nodes {
		if i < 2 {
			balancer.Down(i, false)
		}
		node.Mute(false)
		node.Restart() // what waits now is lost, and was never acknowledged
		if err := node.Queue(false); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "every event in some indexer", func() bool { return len(lackingIn(t, nodes, (rounds+1)*perRound)) == 0 })
	eventually(t, "every event acknowledged", func() bool {
		_, body := p.get("/metrics")
		return strings.Contains(body, `auditstream_stream_lag_events{stream="everything"} 0`) &&
			strings.Contains(body, `auditstream_stream_unconfirmed_events{stream="everything"} 0`)
	})
}

// unreliable is a network on which one request in five meets a fault.
func unreliable(seed uint64) faults.Hook {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 0))
	return func(*http.Request) *faults.Answer {
		mu.Lock()
		defer mu.Unlock()
		switch r.IntN(40) {
		case 0, 1:
			return &faults.Answer{Store: true, Cut: faults.CutBeforeAnswer}
		case 2:
			return &faults.Answer{Store: true, Cut: faults.CutInAnswer}
		case 3:
			return &faults.Answer{Cut: faults.CutBeforeBody}
		case 4, 5:
			return &faults.Answer{Status: 503, Body: []byte(`{"text":"Server is busy","code":9}`)}
		case 6:
			return &faults.Answer{Status: 429, Body: []byte(`{"text":"ACK is at capacity","code":27}`)}
		case 7:
			return &faults.Answer{Status: 502, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>")}
		}
		return nil
	}
}

// lackingIn are those of the first n published events that no indexer has written.
func lackingIn(t *testing.T, nodes []*hec.Server, n int) []string {
	t.Helper()
	have := map[string]bool{}
	for _, node := range nodes {
		for _, e := range node.Events() {
			var v struct{ ID string }
			if err := json.Unmarshal(e.Event, &v); err != nil {
				t.Fatalf("Splunk has something that is no event: %s", e.Event)
			}
			have[v.ID] = true
		}
	}
	var out []string
	for i := range n {
		if !have[eventID(i)] {
			out = append(out, eventID(i))
		}
	}
	return out
}

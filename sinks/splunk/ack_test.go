package splunk

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

const (
	eventPath = "/services/collector/event"
	ackPath   = "/services/collector/ack"
)

// acknowledging is a sink that waits for acknowledgements.
type acknowledging interface {
	sinks.Sink
	sinks.Confirmer
}

func openAcknowledging(t *testing.T, handler http.Handler, change ...func(*Settings)) acknowledging {
	t.Helper()
	change = append(change, func(s *Settings) { s.Acknowledge = true })
	return openSink(t, handler, change...).(acknowledging)
}

// numbered is a batch of one event that carries n.
func numbered(n int) *sinks.Batch { return batchOf(fmt.Sprintf(`{"event":{"n":%d}}`, n)) }

func mustDeliver(t *testing.T, sink sinks.Sink, b *sinks.Batch) sinks.Ticket {
	t.Helper()
	receipt, err := sink.Deliver(t.Context(), b)
	if err != nil || receipt.Settled != len(b.Events) || receipt.Pending == "" {
		t.Fatalf("Deliver: %+v, %v; want all settled, with a ticket", receipt, err)
	}
	return receipt.Pending
}

func mustConfirm(t *testing.T, sink acknowledging, tickets ...sinks.Ticket) []sinks.Standing {
	t.Helper()
	standings, err := sink.Confirm(t.Context(), sinks.Lane{}, tickets)
	if err != nil {
		t.Fatalf("Confirm: %v", err)
	}
	return standings
}

func wantStandings(t *testing.T, got []sinks.Standing, want ...sinks.Standing) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("standings (-want +got):\n%s", diff)
	}
}

func TestEventsAreConfirmedWhenTheIndexerHasWrittenThem(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	_ = double.Queue(true)
	sink := openAcknowledging(t, double)
	first, second := mustDeliver(t, sink, numbered(1)), mustDeliver(t, sink, numbered(2))
	if !strings.HasSuffix(string(first), "/0") {
		t.Errorf("the first number of a channel is 0, the ticket is %s", first)
	}
	wantStandings(t, mustConfirm(t, sink, first, second), sinks.Waiting, sinks.Waiting)
	if double.Len() != 0 {
		t.Fatal("the double has written what waits in its queue")
	}
	if err := double.Queue(false); err != nil {
		t.Fatal(err)
	}
	wantStandings(t, mustConfirm(t, sink, first, second), sinks.Durable, sinks.Durable)
	if double.Len() != 2 {
		t.Errorf("%d events are written, want 2", double.Len())
	}
}

func TestEachLaneHasAChannelOfItsOwn(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	sink := openAcknowledging(t, double)
	for partition := range int32(3) {
		b := numbered(int(partition))
		b.Lane.Partition = partition
		if ticket := mustDeliver(t, sink, b); !strings.HasSuffix(string(ticket), "/0") {
			t.Errorf("partition %d begins with ticket %s", partition, ticket)
		}
	}
	channels := map[string]bool{}
	for _, e := range double.Events() {
		channels[e.Channel] = true
	}
	if len(channels) != 3 {
		t.Errorf("3 lanes have used the channels %v", channels)
	}
}

func TestTheAcceptedHeadOfARefusedBatchIsConfirmedToo(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	sink := openAcknowledging(t, double)
	receipt, err := sink.Deliver(t.Context(), batchOf(`{"event":1}`, `{"event":2}`, `{"event":""}`, `{"event":4}`))
	if sinks.ClassOf(err) != sinks.Rejected || receipt.Settled != 2 || receipt.Pending == "" {
		t.Fatalf("%+v, %v; want two settled with a ticket, and a refusal", receipt, err)
	}
	wantStandings(t, mustConfirm(t, sink, receipt.Pending), sinks.Durable)

	// Nothing was taken in: there is nothing to confirm.
	receipt, err = sink.Deliver(t.Context(), batchOf(`{"event":""}`, `{"event":4}`))
	if sinks.ClassOf(err) != sinks.Rejected || receipt.Settled != 0 || receipt.Pending != "" {
		t.Errorf("%+v, %v; want a refusal and no ticket", receipt, err)
	}
}

func TestALostAnswerToAQuestionLeavesItOpen(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	sink := openAcknowledging(t, double)
	ticket := mustDeliver(t, sink, numbered(1))
	lost := 0
	double.Program(func(r *http.Request) *faults.Answer {
		if r.URL.Path != ackPath || lost > 0 {
			return nil
		}
		lost++
		return &faults.Answer{Store: true, Cut: faults.CutBeforeAnswer}
	})
	if _, err := sink.Confirm(t.Context(), sinks.Lane{}, []sinks.Ticket{ticket}); sinks.ClassOf(err) != sinks.Unavailable || err == nil {
		t.Fatalf("Confirm: %v, want an error of class unavailable", err)
	}
	// Splunk has said true once, and says so never again.
	wantStandings(t, mustConfirm(t, sink, ticket), sinks.Waiting)
}

func TestAnIndexerThatWasRestartedConfirmsNothingOfBefore(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	_ = double.Queue(true)
	sink := openAcknowledging(t, double)
	before := []sinks.Ticket{mustDeliver(t, sink, numbered(1)), mustDeliver(t, sink, numbered(2))}
	double.Restart()
	if err := double.Queue(false); err != nil {
		t.Fatal(err)
	}
	wantStandings(t, mustConfirm(t, sink, before...), sinks.Waiting, sinks.Waiting)
	// Its numbers begin again, with that of an event which is lost: whoever asked for it under
	// the former channel would hear that event 1 is written.
	after := mustDeliver(t, sink, numbered(3))
	wantStandings(t, mustConfirm(t, sink, append(before, after)...), sinks.Lost, sinks.Lost, sinks.Lost)
	again := mustDeliver(t, sink, numbered(3))
	wantStandings(t, mustConfirm(t, sink, again), sinks.Durable)
}

func TestATokenThatDoesNotAcknowledgeHolds(t *testing.T) {
	double := newDouble(t, hec.Config{})
	sink := openAcknowledging(t, double)
	for range 2 {
		receipt, err := sink.Deliver(t.Context(), numbered(1))
		if sinks.ClassOf(err) != sinks.Misconfigured || receipt.Settled != 0 || !strings.Contains(err.Error(), "acknowledge_disabled") {
			t.Fatalf("%+v, %v; want an error of class misconfigured that says what to do", receipt, err)
		}
	}
	if double.Len() != 0 {
		t.Errorf("%d events were sent, and would be again and again", double.Len())
	}
}

func TestATokenThatDoesNotAcknowledgeIsGoodEnoughIfToldSo(t *testing.T) {
	double := newDouble(t, hec.Config{})
	sink := openAcknowledging(t, double, func(s *Settings) { s.AcknowledgeDisabled = Accept })
	receipt, err := sink.Deliver(t.Context(), numbered(1))
	if err != nil || receipt.Settled != 1 || receipt.Pending != "" || double.Len() != 1 {
		t.Errorf("%+v, %v, %d events written; want a delivery without a ticket", receipt, err, double.Len())
	}
}

func TestATokenWhoseAcknowledgementIsSwitchedOffInMidstream(t *testing.T) {
	for _, mode := range []string{Hold, Accept} {
		t.Run(mode, func(t *testing.T) {
			double := newDouble(t, hec.Config{Acknowledgement: true})
			off := false
			events := 0
			double.Program(func(r *http.Request) *faults.Answer {
				switch {
				case !off:
					return nil
				case r.URL.Path == ackPath:
					return &faults.Answer{Status: 400, Body: []byte(`{"text":"ACK is disabled","code":14}`)}
				}
				events++
				return &faults.Answer{Store: true, Status: 200, Body: []byte(`{"text":"Success","code":0}`)}
			})
			sink := openAcknowledging(t, double, func(s *Settings) { s.AcknowledgeDisabled = mode })
			ticket := mustDeliver(t, sink, numbered(1))
			off = true
			receipt, err := sink.Deliver(t.Context(), numbered(2))
			standings, confirmErr := sink.Confirm(t.Context(), sinks.Lane{}, []sinks.Ticket{ticket})
			if mode == Accept {
				if err != nil || receipt.Settled != 1 || receipt.Pending != "" || confirmErr != nil {
					t.Errorf("%+v, %v, %v; want deliveries", receipt, err, confirmErr)
				}
				wantStandings(t, standings, sinks.Durable)
				return
			}
			if sinks.ClassOf(err) != sinks.Misconfigured || receipt.Settled != 0 || sinks.ClassOf(confirmErr) != sinks.Misconfigured || confirmErr == nil {
				t.Errorf("%+v, %v, %v; want nothing settled, and the class misconfigured", receipt, err, confirmErr)
			}
			if _, err := sink.Deliver(t.Context(), numbered(2)); sinks.ClassOf(err) != sinks.Misconfigured || events != 1 {
				t.Errorf("%v, and the event was sent %d times; want it held after the first", err, events)
			}
			off = false
			mustDeliver(t, sink, numbered(2))
		})
	}
}

func TestAnswersToQuestionsHaveTheirClass(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer faults.Answer
		class  sinks.Class
	}{
		{"token disabled", faults.Answer{Status: 403, Body: []byte(`{"text":"Token disabled","code":1}`)}, sinks.Misconfigured},
		{"invalid token", faults.Answer{Status: 403, Body: []byte(`{"text":"Invalid token","code":4}`)}, sinks.Misconfigured},
		{"invalid data format", faults.Answer{Status: 400, Body: []byte(`{"text":"Invalid data format","code":6}`)}, sinks.Unavailable},
		{"busy", faults.Answer{Status: 503, Body: []byte(`{"text":"Server is busy","code":9}`)}, sinks.Unavailable},
		{"channel missing", faults.Answer{Status: 400, Body: []byte(`{"text":"Data channel is missing","code":10}`)}, sinks.Misconfigured},
		{"acknowledgements at capacity", faults.Answer{Status: 429, Body: []byte(`{"text":"ACK is at capacity","code":27}`)}, sinks.Unavailable},
		{"a page of HTML", faults.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(`<html>`)}, sinks.Misconfigured},
		{"a success that says nothing", faults.Answer{Status: 200, Body: []byte(`{"text":"Success","code":0}`)}, sinks.Unavailable},
		{"something else", faults.Answer{Status: 200, Body: []byte(`{"acks":[0]}`)}, sinks.Unavailable},
		{"an answer of 1 GB", faults.Answer{Status: 200, Body: []byte(`{"acks":{"0":true}}`), Pad: 1 << 30}, sinks.Unavailable},
		{"an answer cut off", faults.Answer{Store: true, Cut: faults.CutInAnswer}, sinks.Unavailable},
		{"a reset", faults.Answer{Cut: faults.CutBeforeBody}, sinks.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			double := newDouble(t, hec.Config{Acknowledgement: true})
			sink := openAcknowledging(t, double)
			ticket := mustDeliver(t, sink, numbered(1))
			double.Program(func(*http.Request) *faults.Answer { return &c.answer })
			standings, err := sink.Confirm(t.Context(), sinks.Lane{}, []sinks.Ticket{ticket})
			if err == nil || sinks.ClassOf(err) != c.class {
				t.Errorf("%v, %v; want an error of class %v", standings, err, c.class)
			}
			if strings.Contains(fmt.Sprintf("%+v", err), token) {
				t.Errorf("the error shows the token: %+v", err)
			}
		})
	}
}

func TestAnAnswerAboutOthersConfirmsNothing(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	sink := openAcknowledging(t, double)
	ticket := mustDeliver(t, sink, numbered(1))
	for _, body := range []string{`{"acks":{}}`, `{"acks":{"1":true}}`, `{"acks":{"x":true,"0":false}}`, `{"acks":{"00":false}}`} {
		double.Program(func(*http.Request) *faults.Answer { return &faults.Answer{Status: 200, Body: []byte(body)} })
		wantStandings(t, mustConfirm(t, sink, ticket), sinks.Waiting)
	}
}

func TestALaneStaysWithItsIndexerBehindABalancer(t *testing.T) {
	for _, cookie := range []string{"SERVERID", "AWSALB"} {
		t.Run(cookie, func(t *testing.T) {
			nodes := []*hec.Server{newDouble(t, hec.Config{Acknowledgement: true}), newDouble(t, hec.Config{Acknowledgement: true}), newDouble(t, hec.Config{Acknowledgement: true})}
			sink := openAcknowledging(t, hec.NewBalancer(cookie, nodes...))
			var tickets []sinks.Ticket
			var want []sinks.Standing
			for n := range 20 {
				tickets, want = append(tickets, mustDeliver(t, sink, numbered(n))), append(want, sinks.Durable)
			}
			wantStandings(t, mustConfirm(t, sink, tickets...), want...)
			used := 0
			for _, node := range nodes {
				if node.Len() > 0 {
					used++
				}
			}
			if used != 1 {
				t.Errorf("one lane has used %d indexers", used)
			}
		})
	}
}

func TestACookieThatChangesLosesWhatWaits(t *testing.T) {
	nodes := []*hec.Server{newDouble(t, hec.Config{Acknowledgement: true}), newDouble(t, hec.Config{Acknowledgement: true})}
	balancer := hec.NewBalancer("SERVERID", nodes...)
	sink := openAcknowledging(t, balancer)
	for _, node := range nodes {
		_ = node.Queue(true)
	}
	ticket := mustDeliver(t, sink, numbered(1))
	for n, node := range nodes {
		balancer.Down(n, node.Queued() > 0)
	}
	wantStandings(t, mustConfirm(t, sink, ticket), sinks.Lost)
	again := mustDeliver(t, sink, numbered(1))
	for _, node := range nodes {
		if err := node.Queue(false); err != nil {
			t.Fatal(err)
		}
	}
	wantStandings(t, mustConfirm(t, sink, ticket, again), sinks.Lost, sinks.Durable)
}

// Whatever balancers and indexers do, nothing is confirmed that is not written.
func TestNothingIsConfirmedThatIsNotWritten(t *testing.T) {
	for _, cookie := range []string{"", "SERVERID", "AWSALB"} {
		for seed := range uint64(15) {
			t.Run(fmt.Sprintf("cookie %q, seed %d", cookie, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 0))
				var nodes []*hec.Server
				for range 3 {
					nodes = append(nodes, newDouble(t, hec.Config{Acknowledgement: true}))
				}
				balancer := hec.NewBalancer(cookie, nodes...)
				sink := openAcknowledging(t, balancer)
				written := func(n int) bool {
					for _, node := range nodes {
						for _, e := range node.Events() {
							if string(e.Event) == fmt.Sprintf(`{"n":%d}`, n) {
								return true
							}
						}
					}
					return false
				}
				open := map[sinks.Ticket]int{}
				for n := range 120 {
					node := nodes[r.IntN(len(nodes))]
					switch r.IntN(8) {
					case 0:
						_ = node.Queue(true)
					case 1:
						_ = node.Queue(false)
					case 2:
						node.Restart()
					case 3:
						balancer.Down(r.IntN(2), r.IntN(2) == 0) // the third stays
					default:
						receipt, err := sink.Deliver(t.Context(), numbered(n))
						if err != nil {
							t.Fatal(err)
						}
						open[receipt.Pending] = n
					}
					var tickets []sinks.Ticket
					for ticket := range open {
						tickets = append(tickets, ticket)
					}
					for i, standing := range mustConfirm(t, sink, tickets...) {
						event := open[tickets[i]]
						if standing == sinks.Durable && !written(event) {
							t.Fatalf("after %d steps event %d is confirmed and not written", n, event)
						}
						if standing != sinks.Waiting {
							delete(open, tickets[i])
						}
					}
				}
			})
		}
	}
}

func TestACookieIsBoundedAndInjectsNothing(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	var sent []string
	sink := openAcknowledging(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Cookie"))
		for i := range 50 {
			w.Header().Add("Set-Cookie", fmt.Sprintf("c%d=%s", i, strings.Repeat("x", 100)))
		}
		w.Header().Add("Set-Cookie", "large="+strings.Repeat("x", 10_000))
		w.Header().Add("Set-Cookie", `c0="a, b"`)
		double.ServeHTTP(w, r)
	}))
	for n := range 3 {
		mustDeliver(t, sink, numbered(n))
	}
	last := sent[len(sent)-1]
	if cookies := strings.Split(last, "; "); len(cookies) != maxCookies || len(last) > maxCookies*maxCookie || strings.ContainsAny(last, `",`) {
		t.Errorf("%d cookies are sent back: %.200s", len(cookies), last)
	}
}

func TestATestShowsTheAcknowledgement(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	sink := openAcknowledging(t, double)
	var last sinks.Step
	if err := sink.(sinks.Tester).Test(t.Context(), numbered(1), func(s sinks.Step) { last = s }); err != nil {
		t.Fatal(err)
	}
	if last.Name != sinks.StepAcknowledge || last.Err != nil || last.Detail != "the event is written" {
		t.Errorf("the last step is %+v", last)
	}
}

func TestATokenThatIsRevokedInMidstreamHoldsAndLosesNothing(t *testing.T) {
	double := newDouble(t, hec.Config{Acknowledgement: true})
	sink := openAcknowledging(t, double)
	ticket := mustDeliver(t, sink, numbered(1))
	double.Program(func(*http.Request) *faults.Answer {
		return &faults.Answer{Status: 403, Body: []byte(`{"text":"Token disabled","code":1}`)}
	})
	for range 2 {
		receipt, err := sink.Deliver(t.Context(), numbered(2))
		if sinks.ClassOf(err) != sinks.Misconfigured || receipt.Settled != 0 {
			t.Errorf("%+v, %v; want nothing settled, and the class misconfigured", receipt, err)
		}
		if _, err := sink.Confirm(t.Context(), sinks.Lane{}, []sinks.Ticket{ticket}); err == nil || sinks.ClassOf(err) != sinks.Misconfigured {
			t.Errorf("Confirm: %v, want an error of class misconfigured", err)
		}
	}
	double.Program(nil)
	wantStandings(t, mustConfirm(t, sink, ticket, mustDeliver(t, sink, numbered(2))), sinks.Durable, sinks.Durable)
	if double.Len() != 2 {
		t.Errorf("%d events are written, want 2", double.Len())
	}
}

// An error counts for the events before it only if somebody will say what became of them.
func TestAHeadWithoutANumberCountsOnlyWhereReceiptsDo(t *testing.T) {
	for _, mode := range []string{Hold, Accept} {
		t.Run(mode, func(t *testing.T) {
			double := newDouble(t, hec.Config{Acknowledgement: true})
			sink := openAcknowledging(t, double, func(s *Settings) { s.AcknowledgeDisabled = mode })
			mustDeliver(t, sink, numbered(0))
			double.Program(func(*http.Request) *faults.Answer {
				return &faults.Answer{Status: 503, Body: []byte(`{"text":"Server is busy","code":9,"invalid-event-number":2}`)}
			})
			receipt, err := sink.Deliver(t.Context(), batchOf(`{"event":1}`, `{"event":2}`, `{"event":3}`))
			if sinks.ClassOf(err) != sinks.Unavailable || receipt.Settled != 0 || receipt.Pending != "" {
				t.Errorf("%+v, %v; want nothing settled: the token acknowledges, and this answer has no number", receipt, err)
			}
		})
	}
}

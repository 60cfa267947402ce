package hec

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var channelHeader = map[string]string{"X-Splunk-Request-Channel": channelA}

func post(t *testing.T, s *Server, body, want string) {
	t.Helper()
	if _, got := call(t, s, "POST", "/services/collector/event", body, channelHeader); got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
}

func ask(t *testing.T, s *Server, want string) {
	t.Helper()
	if _, got := call(t, s, "POST", "/services/collector/ack", `{"acks":[0,1]}`, channelHeader); got != want {
		t.Errorf("acknowledgements %s, want %s", got, want)
	}
}

func TestWhatWaitsIsNeitherWrittenNorAcknowledged(t *testing.T) {
	s := newServer(t, Config{Acknowledgement: true})
	_ = s.Queue(true)
	post(t, s, `{"event":1}`, `{"text":"Success","code":0,"ackId":0}`)
	post(t, s, `{"event":2}`, `{"text":"Success","code":0,"ackId":1}`)
	ask(t, s, `{"acks":{"0":false,"1":false}}`)
	if s.Len() != 0 || s.Queued() != 2 {
		t.Errorf("%d written, %d wait; want none and 2", s.Len(), s.Queued())
	}
	if err := s.Queue(false); err != nil {
		t.Fatal(err)
	}
	ask(t, s, `{"acks":{"0":true,"1":true}}`)
	ask(t, s, `{"acks":{"0":false,"1":false}}`) // once, and never again
	if s.Len() != 2 || s.Queued() != 0 {
		t.Errorf("%d written, %d wait; want 2 and none", s.Len(), s.Queued())
	}
}

func TestARestartLosesWhatWaitsAndCountsFromZero(t *testing.T) {
	s := newServer(t, Config{Acknowledgement: true})
	post(t, s, `{"event":1}`, `{"text":"Success","code":0,"ackId":0}`)
	_ = s.Queue(true)
	post(t, s, `{"event":2}`, `{"text":"Success","code":0,"ackId":1}`)
	s.Restart()
	if err := s.Queue(false); err != nil {
		t.Fatal(err)
	}
	ask(t, s, `{"acks":{"0":false,"1":false}}`)
	post(t, s, `{"event":3}`, `{"text":"Success","code":0,"ackId":0}`)
	if got := strings.Join(arrived(s), " "); got != "1 3" {
		t.Errorf("written: %s, want 1 3", got)
	}
}

func TestAMuteIndexerWritesAndDoesNotSay(t *testing.T) {
	s := newServer(t, Config{Acknowledgement: true})
	s.Mute(true)
	post(t, s, `{"event":1}`, `{"text":"Success","code":0,"ackId":0}`)
	s.Mute(false)
	post(t, s, `{"event":2}`, `{"text":"Success","code":0,"ackId":1}`)
	ask(t, s, `{"acks":{"0":false,"1":true}}`)
	if s.Len() != 2 {
		t.Errorf("%d events are written, want 2", s.Len())
	}
}

func TestABalancerKeepsWhoeverSendsItsCookieBack(t *testing.T) {
	one, two := newServer(t, Config{Acknowledgement: true}), newServer(t, Config{Acknowledgement: true})
	send := func(b *Balancer, cookies []*http.Cookie) []*http.Cookie {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/services/collector/event", strings.NewReader(`{"event":1}`))
		r.Header.Set("Authorization", "Splunk "+token)
		r.Header.Set("X-Splunk-Request-Channel", channelA)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		return w.Result().Cookies()
	}
	sticky := NewBalancer("SERVERID", one, two)
	cookies := send(sticky, nil)
	before := [2]int{one.Len(), two.Len()}
	for range 4 {
		if again := send(sticky, cookies); len(again) != 0 {
			t.Errorf("a cookie that was sent back is set again: %v", again)
		}
	}
	if grown := [2]int{one.Len() - before[0], two.Len() - before[1]}; grown != [2]int{4, 0} && grown != [2]int{0, 4} {
		t.Errorf("the nodes have taken %v events of one session, want 4 and none", grown)
	}
	sticky.Down(0, true)
	sticky.Down(1, true)
	if again := send(sticky, cookies); len(again) != 0 {
		t.Errorf("no node is left, and a cookie is set: %v", again)
	}
	renewing := NewBalancer("AWSALB", one, two)
	first := send(renewing, nil)
	second := send(renewing, first)
	if len(first) != 1 || len(second) != 1 || first[0].Value == second[0].Value || first[0].Value[:5] != second[0].Value[:5] {
		t.Errorf("cookies %v and %v, want another one for the same node", first, second)
	}
	sum := one.Len() + two.Len()
	loose := NewBalancer("", one, two)
	before = [2]int{one.Len(), two.Len()}
	for range 4 {
		send(loose, cookies)
	}
	if one.Len()+two.Len() != sum+4 || one.Len() != before[0]+2 {
		t.Errorf("without sticky sessions the nodes take turns; they have %d and %d more", one.Len()-before[0], two.Len()-before[1])
	}
}

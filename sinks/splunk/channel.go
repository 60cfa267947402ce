package splunk

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/auditstream/auditstream/sinks"
)

// channel is one lane's sequence of acknowledgements at one indexer. Splunk numbers the
// requests of a channel, from 0 on, and keeps the numbers on the indexer that took the
// request: behind a load balancer questions only find it with the balancer's cookies.
type channel struct {
	mu      sync.Mutex
	id      string         // a GUID; guarded by mu
	cookies []*http.Cookie // of the balancer, by name; guarded by mu
	last    int64          // highest number so far, -1 without one; guarded by mu
	moved   int            // times that a cookie moved the channel, since it was last acknowledged; guarded by mu
}

// maxCookies bounds what a server can have us keep and send: a balancer needs one or two.
const maxCookies = 8

// maxCookie bounds one cookie, in bytes.
const maxCookie = 4096

// maxMoves is how often in a row a changed cookie is believed to mean another indexer.
const maxMoves = 3

func newChannel() *channel { return &channel{id: newGUID(), last: -1} }

// newGUID is a random UUID of version 4.
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// header names the channel in a request.
func (c *channel) header() (http.Header, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := http.Header{"X-Splunk-Request-Channel": {c.id}}
	var cookies []string
	for _, cookie := range c.cookies {
		cookies = append(cookies, cookie.Name+"="+cookie.Value)
	}
	if len(cookies) > 0 {
		h.Set("Cookie", strings.Join(cookies, "; "))
	}
	return h, c.id
}

// heed takes an answer's cookies. A balancer that sends another one has moved the channel
// to another indexer, which knows nothing of what was sent: the channel begins anew, and
// what it has not acknowledged is lost.
func (c *channel) heed(h http.Header) {
	set := (&http.Response{Header: h}).Cookies()
	if len(set) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	moves := false
	for _, cookie := range set {
		if len(cookie.Name)+len(cookie.Value) > maxCookie || strings.ContainsAny(cookie.Value, " \",;\\") {
			continue
		}
		known := -1
		for i, have := range c.cookies {
			if have.Name == cookie.Name {
				known = i
			}
		}
		switch {
		case known < 0 && len(c.cookies) < maxCookies:
			c.cookies = append(c.cookies, cookie)
		case known >= 0 && c.cookies[known].Value != cookie.Value:
			moves = moves || !renewed(cookie.Name)
			c.cookies[known] = cookie
		}
	}
	if moves && c.last >= 0 && c.moved < maxMoves {
		c.moved++
		c.begin()
	}
}

// renewed reports a cookie that its balancer writes anew with every answer, also while it
// stays with its server: those of AWS's application load balancers are encrypted each time.
// That they have changed says nothing; what is lost shows when its numbers begin again.
func renewed(name string) bool { return strings.HasPrefix(name, "AWSALB") }

// begin makes another channel of it. The caller holds mu.
func (c *channel) begin() { c.id, c.last = newGUID(), -1 }

// number is the ticket for what Splunk took in under id and gave a number. A number that is
// not higher than the former ones is another indexer's, or one's that was restarted: the
// channel begins anew. A number under an id that two have counted for is never asked about:
// one of them might say true about somebody else's events. Such tickets are lost.
func (c *channel) number(id string, n int64) sinks.Ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id == id {
		if n > c.last {
			c.last = n
		} else {
			c.begin()
		}
	}
	return sinks.Ticket(id + "/" + strconv.FormatInt(n, 10))
}

// numbersOf are the tickets that Splunk may still answer for, by their number; the others are
// lost.
func numbersOf(id string, tickets []sinks.Ticket) map[int64]int {
	open := make(map[int64]int, len(tickets))
	for i, t := range tickets {
		of, number, _ := strings.Cut(string(t), "/")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && of == id {
			open[n] = i
		}
	}
	return open
}

// acknowledged says that questions are answered.
func (c *channel) acknowledged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = 0
}

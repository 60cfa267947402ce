package splunk

import (
	"encoding/json"
	"net/http"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// answer is what the collector answers, as far as it matters.
type answer struct {
	Code   *int   `json:"code"`
	Number *int   `json:"invalid-event-number"` // see settledBefore
	AckID  *int64 `json:"ackId"`                // of what was taken in
}

// verdict is what an answer means for a batch.
type verdict struct {
	settled int          // events at the head of the batch that are indexed, where err is set
	busy    bool         // delivered, but Splunk is near its limits
	ack     *int64       // number under which Splunk acknowledges what is indexed; nil without one
	err     *sinks.Error // nil: all are delivered
}

// judge reads the answer to a batch of n events. Nothing but HTTP 200 with a code of
// success is a delivery: proxies and login pages answer 200 too.
func judge(a *transport.Answer, n int) verdict {
	var read answer
	if a.Over || json.Unmarshal(a.Body, &read) != nil || read.Code == nil {
		return verdict{err: a.Unknown()}
	}
	code := *read.Code
	if a.Status == http.StatusOK {
		switch code {
		case 0:
			return verdict{ack: read.AckID}
		case 24, 25: // a queue, the acknowledgements: near capacity
			return verdict{busy: true, ack: read.AckID}
		}
		return verdict{err: a.Refusal(sinks.Unavailable,
			"Splunk answers with code %d, which is neither a delivery nor an error", code)}
	}
	if a.OK() {
		return verdict{err: a.Unknown()}
	}
	class, words := meaning(a, code)
	v := verdict{ack: read.AckID, err: a.Refusal(class, "Splunk: %s (code %d)", words, code)}
	if read.Number == nil {
		return v
	}
	number := *read.Number
	if class != sinks.Rejected || !badEvent(code) {
		v.settled = settledBefore(number, n)
		return v
	}
	// Splunk Cloud answers a request that is too large as if its first object were bad.
	// Unnamed, the batch is halved until that object stands alone, or is taken.
	if number < 0 || number >= n || code == 6 && number == 0 && n > 1 {
		return v
	}
	v.settled = number
	v.err.Event, v.err.Named = number, true
	return v
}

// settledBefore is how many of n events are indexed for sure when an answer that rejects
// none names number. For code 7 it counts from 1, for codes 6, 12, 13 and 15 from 0, for
// the others nobody has said: read as counting from 1, one event may be sent twice, and
// none is lost.
func settledBefore(number, n int) int {
	if number < 1 || number > n {
		return 0
	}
	return number - 1
}

// ackDisabled is the code of a token that does not acknowledge.
const ackDisabled = 14

// badEvent reports a code that speaks of one event, which Splunk will never take.
func badEvent(code int) bool { return code == 6 || code == 12 || code == 13 || code == 15 }

// meaning is the class of one of HEC's codes, in an answer other than 2xx, and what there
// is to do about it. Codes and texts are those of Splunk's "Possible error codes".
func meaning(a *transport.Answer, code int) (sinks.Class, string) {
	if badEvent(code) && a.Status != http.StatusBadRequest {
		return a.Class(), "an answer of two minds: the code names a bad event, the status does not"
	}
	switch code {
	case 1:
		return sinks.Misconfigured, "the token is disabled: enable it under Settings, Data inputs, HTTP Event Collector"
	case 2, 3:
		return sinks.Misconfigured, "the request came without its token: does a proxy remove the Authorization header?"
	case 4:
		return sinks.Misconfigured, "the token is not valid"
	case 5:
		return sinks.Unavailable, "the request came without its body: does a proxy remove it?"
	case 6:
		return sinks.Rejected, "invalid data format, or a request larger than Splunk takes"
	case 7:
		return sinks.Misconfigured, "the token may not write to the index, or there is no such index"
	case 8:
		return sinks.Unavailable, "internal server error"
	case 9:
		return sinks.Unavailable, "the server is busy"
	case 10, 11:
		return sinks.Misconfigured, "the token demands indexer acknowledgement: set acknowledge: true, or use another token"
	case 12:
		return sinks.Rejected, "the event field is required"
	case 13:
		return sinks.Rejected, "the event field cannot be blank"
	case ackDisabled:
		return sinks.Misconfigured, "indexer acknowledgement is disabled for the token: enable it, or set acknowledge_disabled: accept"
	case 15:
		return sinks.Rejected, "error in handling indexed fields"
	case 16:
		return sinks.Misconfigured, "query string authorization is not enabled: does a proxy rewrite the request?"
	case 18, 19, 20:
		return sinks.Unavailable, "unhealthy: its queues or acknowledgements are not available"
	case 23:
		return sinks.Unavailable, "the server is shutting down"
	case 26, 27:
		return sinks.Unavailable, "its queues or acknowledgements are at capacity"
	}
	return a.Class(), "an error that auditstream does not know"
}

package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/consumer"
)

// Advice says what to do about where a stream stands, in plain words; empty: nothing. What a
// destination has answered stands in the status's error, often with what is wrong there; this
// says who has to do what, and what happens meanwhile.
func Advice(st consumer.Status) string {
	var all []string
	switch {
	case st.Spec.State == consumer.SpecHeld:
		return "Nobody knows what the stream is: its record in the streams topic is damaged, forged, or signed with a key that is not configured (secrets.keys). Add the key, or write the stream again; its cursor is kept."
	case st.BadRecord != "":
		all = append(all, "A later record of the stream has no effect, the former settings are in force: find out who wrote it to the streams topic, and make the change again.")
	}
	if text := adviceOnState(st); text != "" {
		all = append(all, text)
	}
	if r := st.Retention; r != nil && r.Used >= 0.5 {
		all = append(all, fmt.Sprintf("The oldest event that waits has used %.0f %% of what Kafka keeps: loss begins at %s. Until that is mended, make retention.ms (and retention.bytes) of the events topic larger.",
			min(100, 100*r.Used), r.LossBegins.UTC().Format(time.RFC3339)))
	}
	return strings.Join(all, " ")
}

func adviceOnState(st consumer.Status) string {
	id := st.Spec.ID
	switch st.State {
	case consumer.StatusStopped:
		return fmt.Sprintf("No process delivers streams of kind %s: start `auditstream serve deliver`, or look at the log of the one that has ended. Nothing is lost meanwhile.", st.Spec.Kind)
	case consumer.StatusPaused:
		if h := st.Spec.Hold; h != nil {
			return fmt.Sprintf("Paused by %s: `auditstream stream resume %s` goes on at the cursor.", h.By, id)
		}
		return "Paused by its owner: it goes on at the cursor when paused is taken out of its settings."
	case consumer.StatusDraining:
		return "It is deleted as soon as what was published before its deletion is delivered. `auditstream stream delete --drop` does not wait for that."
	case consumer.StateError, consumer.StateInvalid:
		for _, r := range remedies() {
			if r.fits(st) {
				return r.text
			}
		}
	}
	if !st.InForce {
		return "A process has not taken over the last change yet: it does within a second, or when the request under way ends. If that lasts, look at the log of the partitions' owners."
	}
	return ""
}

// remedy is what to do about a kind of failure. What is empty fits everything.
type remedy struct {
	state  string
	kinds  []string
	class  string
	status []int // HTTP; 0: there was no answer
	text   string
}

func (r remedy) fits(st consumer.Status) bool {
	return (r.state == "" || r.state == st.State) && (r.class == "" || r.class == st.Class) &&
		(len(r.kinds) == 0 || slices.Contains(r.kinds, st.Spec.Kind)) &&
		(len(r.status) == 0 || slices.Contains(r.status, st.HTTPStatus))
}

const (
	classRejected    = "rejected"
	classUnavailable = "unavailable"

	probed = " It is probed every delivery.probe, and at once after a change; delivery goes on from the cursor, nothing is lost."
)

// remedies are in order: the first that fits is given.
func remedies() []remedy {
	return []remedy{
		// No event is decided about: see the delivery setting rejections.
		{state: consumer.StateInvalid, class: classRejected, text: "The stream's filter fails on one event after the other, so that it is held instead of filling the dead letters: the error says at what. Mend the filter (has(event.metadata.team) asks whether a name is there), look at what it does with `auditstream stream try`, and redrive the dead letters that it has made. The changed stream goes on from the cursor, nothing is lost."},

		// Every event is refused: see the delivery setting rejections.
		{class: classRejected, text: "The destination refuses one event after the other, so that it is held instead of filling the dead letters: something that they share is wrong, such as the index, the format or the field types there. See the last dead letters (`auditstream deadletter list`), mend the destination; it is tried with one event at a time."},

		{state: consumer.StateInvalid, kinds: []string{"splunk"}, status: []int{401, 403}, text: "Give the stream a token that is valid and enabled (Settings, Data inputs, HTTP Event Collector): this one was revoked, disabled, or is of another Splunk." + probed},
		{state: consumer.StateInvalid, kinds: []string{"splunk"}, status: []int{400}, text: "Create the index or allow the token to write to it, or set indexer acknowledgement as the token demands: the error says which." + probed},
		{state: consumer.StateInvalid, kinds: []string{"splunk"}, status: []int{404}, text: "Correct url: nothing of an HTTP Event Collector is there. It has a port of its own, often 8088." + probed},
		{state: consumer.StateInvalid, kinds: []string{"s3"}, status: []int{404}, text: "Create the bucket, or correct bucket, endpoint and path_style." + probed},
		{state: consumer.StateInvalid, kinds: []string{"s3"}, status: []int{301, 307, 400}, text: "Correct region, endpoint or the setting that the error names to what the bucket has." + probed},
		{state: consumer.StateInvalid, kinds: []string{"s3"}, status: []int{401, 403}, text: "Renew the credentials or the role's trust (role_arn, external_id), and allow s3:PutObject and s3:GetObject on the prefix, and the key of KMS if there is one." + probed},
		{state: consumer.StateInvalid, kinds: []string{"s3"}, text: "Correct what the error names: credentials, role, bucket, encryption or the store's support of conditional writes." + probed},
		{state: consumer.StateInvalid, kinds: []string{"datadog"}, status: []int{401, 403}, text: "Give the stream an API key of this Datadog site (Organization Settings, API Keys): this one was revoked or is of another site." + probed},
		{state: consumer.StateInvalid, kinds: []string{"scs"}, status: []int{400, 401, 403}, text: "Give the stream a client_id and client_secret of this tenant with a role that has ingest.events.create." + probed},
		{state: consumer.StateInvalid, kinds: []string{"scs"}, status: []int{404}, text: "Correct tenant: write it as in the address of its console." + probed},
		{state: consumer.StateInvalid, kinds: []string{"https"}, status: []int{410}, text: "The receiver is gone for good: give the stream another url, or delete it." + probed},
		{state: consumer.StateInvalid, kinds: []string{"https"}, status: []int{401, 403}, text: "Renew what the receiver asks for: the Authorization header, the signature's secret, or the client's certificate." + probed},
		{state: consumer.StateInvalid, kinds: []string{"https"}, status: []int{404, 405}, text: "Correct url: the receiver has nothing there that takes events." + probed},
		{state: consumer.StateInvalid, kinds: []string{"file"}, text: "Create the directory, and let the user that auditstream runs as write there." + probed},
		{state: consumer.StateInvalid, status: []int{0}, text: "Correct the setting that the error names: address, certificate, secret or egress policy (delivery.egress)." + probed},
		{state: consumer.StateInvalid, text: "Correct the credentials or the setting that the error names." + probed},

		{status: []int{413}, text: "The destination takes no requests of this size: raise its limit, or that of a proxy before it, or make the stream's batches smaller (max_bytes). It is tried again; nothing is lost."},
		{status: []int{429}, text: "The destination limits requests: it is tried again when it has said. If that lasts, raise its quota, or lower delivery.in_flight_per_stream."},
		{status: []int{408, 504}, text: "The destination, or a proxy before it, is too slow: look there. It is tried again for as long as Kafka has the events; nothing has to be done here."},
		{status: []int{500, 502, 503}, text: "The destination has trouble of its own: mend it there. It is tried again for as long as Kafka has the events; nothing has to be done here."},
		{class: classUnavailable, status: []int{0}, text: "The destination cannot be reached, or does not answer: look at its name, its port, firewalls and proxies; `auditstream stream test` shows each step. It is tried again for as long as Kafka has the events."},
		{class: classUnavailable, text: "The destination does not take events at present: look there. It is tried again for as long as Kafka has the events."},
		{text: "It is tried again for as long as Kafka has the events; `auditstream stream test` shows each step. If the error speaks of Kafka, look at Kafka and at the log of the process."},
	}
}

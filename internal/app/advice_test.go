package app

import (
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/consumer"
)

func TestAdviceSaysWhatToDoAboutEachState(t *testing.T) {
	of := func(kind, state, class string, status int) consumer.Status {
		return consumer.Status{State: state, Class: class, HTTPStatus: status, InForce: true, Spec: consumer.Spec{ID: "acme", Kind: kind}}
	}
	hold := of("splunk", consumer.StatusPaused, "", 0)
	hold.Spec.Hold = &consumer.Change{By: "ada@desk"}
	pending := of("splunk", consumer.StateActive, "", 0)
	pending.InForce = false
	late := of("splunk", consumer.StateActive, "", 0)
	late.Retention = &consumer.Retention{Used: 0.83, LossBegins: time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)}
	for name, c := range map[string]struct {
		st   consumer.Status
		want string
	}{
		"active":                          {of("splunk", consumer.StateActive, "", 0), ""},
		"stopped":                         {of("s3", consumer.StatusStopped, "", 0), "start `auditstream serve deliver`"},
		"paused by an operator":           {hold, "Paused by ada@desk: `auditstream stream resume acme`"},
		"paused by its owner":             {of("s3", consumer.StatusPaused, "", 0), "paused is taken out"},
		"draining":                        {of("s3", consumer.StatusDraining, "", 0), "deleted as soon as"},
		"change pending":                  {pending, "has not taken over the last change"},
		"loss is near":                    {late, "83 % of what Kafka keeps: loss begins at 2026-11-23T04:00:00Z"},
		"splunk: token revoked":           {of("splunk", consumer.StateInvalid, "misconfigured", 403), "Give the stream a token"},
		"splunk: index missing":           {of("splunk", consumer.StateInvalid, "misconfigured", 400), "Create the index"},
		"splunk: not HEC":                 {of("splunk", consumer.StateInvalid, "misconfigured", 404), "Correct url"},
		"s3: bucket missing":              {of("s3", consumer.StateInvalid, "misconfigured", 404), "Create the bucket"},
		"s3: another region":              {of("s3", consumer.StateInvalid, "misconfigured", 301), "Correct region"},
		"s3: access denied":               {of("s3", consumer.StateInvalid, "misconfigured", 403), "s3:PutObject"},
		"s3: no conditional writes":       {of("s3", consumer.StateInvalid, "misconfigured", 0), "conditional writes"},
		"datadog: key revoked":            {of("datadog", consumer.StateInvalid, "misconfigured", 403), "API key"},
		"scs: client refused":             {of("scs", consumer.StateInvalid, "misconfigured", 401), "client_id"},
		"scs: no such tenant":             {of("scs", consumer.StateInvalid, "misconfigured", 404), "Correct tenant"},
		"https: gone":                     {of("https", consumer.StateInvalid, "misconfigured", 410), "gone for good"},
		"https: refused":                  {of("https", consumer.StateInvalid, "misconfigured", 401), "Authorization header"},
		"https: nothing there":            {of("https", consumer.StateInvalid, "misconfigured", 404), "Correct url"},
		"file: no directory":              {of("file", consumer.StateInvalid, "misconfigured", 0), "Create the directory"},
		"the owner has no secrets":        {of("splunk", consumer.StateInvalid, "misconfigured", 0), "secret"},
		"every event is refused":          {of("splunk", consumer.StateError, "rejected", 400), "deadletter list"},
		"too large":                       {of("splunk", consumer.StateError, "unavailable", 413), "max_bytes"},
		"too many requests":               {of("datadog", consumer.StateError, "unavailable", 429), "raise its quota"},
		"too slow":                        {of("https", consumer.StateError, "unavailable", 504), "too slow"},
		"trouble of its own":              {of("splunk", consumer.StateError, "unavailable", 503), "trouble of its own"},
		"out of reach, or a breaker open": {of("splunk", consumer.StateError, "unavailable", 0), "cannot be reached"},
		"some other answer":               {of("splunk", consumer.StateError, "unavailable", 418), "does not take events at present"},
		"trouble of Kafka":                {of("splunk", consumer.StateError, "", 0), "look at Kafka"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Advice(c.st)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("advice %q, want %q", got, c.want)
			}
		})
	}
}

// There is advice on whatever can be wrong, whichever kind it is.
func TestNobodyIsHeldWithoutAdvice(t *testing.T) {
	for _, kind := range append(Kinds(), "one that comes later") {
		for _, state := range []string{consumer.StateInvalid, consumer.StateError} {
			for _, class := range []string{"", "misconfigured", "unavailable", "rejected"} {
				for _, status := range []int{0, 301, 400, 401, 403, 404, 409, 413, 429, 500, 503} {
					st := consumer.Status{State: state, Class: class, HTTPStatus: status, Spec: consumer.Spec{ID: "acme", Kind: kind}}
					if Advice(st) == "" {
						t.Errorf("%s, %s, %q, %d: no advice", kind, state, class, status)
					}
				}
			}
		}
	}
}

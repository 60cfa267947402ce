package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/filter"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/sinks"
)

// StreamTrial is what would become of events in a stream: the code that delivers is asked,
// and nothing is sent.
type StreamTrial struct {
	Config   *config.Config
	Spec     consumer.Spec
	Settings sinks.Settings // of the destination; nil: those of the spec
	Keys     bool           // the keys of the mask may be read here; else hashes are shown that are not the real ones
	Version  string
}

// Sent says whether the event of a trial would be sent.
func Sent(t *admin.Trial) bool {
	return len(t.Violations) == 0 && t.Route.Pass && (t.Filter == nil || t.Filter.Pass) && t.Refused == ""
}

// Run tries one event, which may be written as any client may publish it.
func (t StreamTrial) Run(ctx context.Context, value []byte) (*admin.Trial, error) {
	out := &admin.Trial{}
	e, violations := t.published(value)
	if out.Violations = violations; e == nil {
		out.Route.Why = "no stream carries what is no valid event: it goes to the dead letters"
		return out, nil
	}
	if out.Route = t.route(e); !out.Route.Pass {
		return out, nil
	}
	decoded, err := schema.Decode(e.Value)
	if err != nil {
		return nil, err
	}
	if t.Spec.Filter != "" {
		x, err := filter.Compile(t.Spec.Filter)
		if err != nil {
			return nil, err
		}
		out.Filter = &admin.Verdict{}
		if out.Filter.Pass, out.Filter.Why, err = x.Explain(decoded); err != nil {
			out.Filter.Why, out.Refused = err.Error(), "the event goes to the dead letters: "+err.Error()
		}
		if !out.Filter.Pass {
			return out, nil
		}
	}
	if err := t.masked(ctx, e, out); err != nil {
		return nil, err
	}
	return out, t.framed(ctx, e, out)
}

// published is the event as delivery reads it from Kafka, or what is wrong with it.
func (t StreamTrial) published(value []byte) (*sinks.Event, schema.Violations) {
	v := schema.Validator{OrganizationPattern: t.Config.Events.OrganizationPattern}
	r := &kgo.Record{Value: value, Timestamp: time.Now()}
	if e, err := schema.Decode(value); err == nil {
		r.Key = []byte(e.OrganizationID)
	}
	return consumer.NewInspector(v, "").Event(r)
}

func (t StreamTrial) route(e *sinks.Event) admin.Verdict {
	s := t.Spec
	organization, action := string(e.OrganizationID), string(e.Action)
	if s.OrganizationID != consumer.AllOrganizations && s.OrganizationID != organization {
		return admin.Verdict{Why: fmt.Sprintf("the event is of organization %s, the stream carries %s", organization, s.OrganizationID)}
	}
	if len(s.Actions) == 0 {
		return admin.Verdict{Pass: true, Why: "the stream carries all actions of " + organization}
	}
	for _, glob := range s.Actions {
		if consumer.ActionMatches([]string{glob}, action) {
			return admin.Verdict{Pass: true, Why: fmt.Sprintf("the action %s is one of %s", action, glob)}
		}
	}
	return admin.Verdict{Why: fmt.Sprintf("the action %s is none of %s", action, strings.Join(s.Actions, ", "))}
}

// masked takes out of e what the stream masks.
func (t StreamTrial) masked(ctx context.Context, e *sinks.Event, out *admin.Trial) error {
	mask, err := t.Spec.ShownMask()
	if err != nil || mask == nil {
		return err
	}
	note := "the hashes of hmac are not the real ones: the key is not read for this"
	if t.Keys {
		real, err := t.Spec.NewMask(ctx)
		if err == nil {
			mask, note = real, ""
		} else {
			note = "the hashes of hmac are not the real ones, and the stream would be held: " + err.Error()
		}
	}
	if e.Value, out.Masked, err = mask.Apply(e.Value); err != nil {
		return err
	}
	for _, m := range out.Masked {
		if m.With == schema.MaskHMAC && note != "" {
			out.Notes = append(out.Notes, note)
			break
		}
	}
	return nil
}

// framed writes the event as the destination would get it.
func (t StreamTrial) framed(ctx context.Context, e *sinks.Event, out *admin.Trial) (err error) {
	known, err := catalogue.Embedded()
	if err != nil {
		return err
	}
	format, err := FormatNamed(t.Spec.Format, known.Action)
	if err != nil {
		return err
	}
	if format != nil {
		if e, err = format.Apply(e); err != nil {
			out.Refused = fmt.Sprintf("the event has no form in the format %s and goes to the dead letters: %v", t.Spec.Format, err)
			return nil
		}
	}
	sink, err := t.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	frame, err := sink.Frame(nil, e)
	if err != nil {
		out.Refused = "the destination would never take it, so that it goes to the dead letters: " + err.Error()
		return nil
	}
	out.Bytes = frame
	if p, ok := sink.(sinks.Previewer); ok {
		shown, err := p.Preview(ctx, &sinks.Batch{
			Lane:   sinks.Lane{Stream: t.Spec.ID, UID: t.Spec.UID, Epoch: t.Spec.Epoch, Revision: t.Spec.Revision},
			Events: []sinks.Entry{{End: len(frame), Day: int32(e.Time.Unix() / (24 * 60 * 60))}}, Body: frame, Next: 1,
		})
		if err != nil {
			return err
		}
		out.Method, out.URL, out.Bytes = shown.Method, shown.URL, shown.Body
		out.Headers = map[string]string{}
		for name, values := range shown.Header {
			out.Headers[name] = strings.Join(values, ", ")
		}
	} else {
		out.Notes = append(out.Notes, "the event's own part of an object or a file of several events, before compression")
	}
	if utf8.Valid(out.Bytes) {
		out.Text = string(out.Bytes)
	}
	return nil
}

func (t StreamTrial) open() (sinks.Sink, error) {
	kind, ok := kindNamed(t.Spec.Kind)
	if !ok {
		return nil, fmt.Errorf("streams of kind %q: written by a newer version of auditstream", t.Spec.Kind)
	}
	settings := t.Settings
	if settings == nil {
		var err error
		if settings, err = settingsOf(t.Spec); err != nil {
			return nil, err
		}
	}
	return kind.Open(settings, sinks.Options{Log: zap.NewNop(), Version: t.Version, Owner: t.Spec.Owner, Egress: newGuard(t.Config)})
}

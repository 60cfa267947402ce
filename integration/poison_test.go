//go:build integration

package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Destinations that refuse some events, as the judge and the streams name them.
const (
	inSplunk  = "Splunk"
	inDatadog = "Datadog"
	inS3      = "S3"
)

const defaultPrefix = "audit"

// poisonFor is the action of the events that a destination refuses for ever.
func poisonFor(destination string) string { return "poison." + strings.ToLower(destination) }

// streamTo is the id of the stream that leads to a destination.
func streamTo(destination string) string { return "all-" + strings.ToLower(destination) }

// poison makes n of the events such that the destination refuses them.
func (f *feed) poison(r *rand.Rand, destination string, n int) {
	for n > 0 {
		if e := f.events[r.IntN(len(f.events))]; e.Action == harmless {
			e.Action = poisonFor(destination)
			n--
		}
	}
}

// due is how many of the published events the destination has to have.
func (f *feed) due(destination string) int {
	n := 0
	for _, e := range f.events[:f.published] {
		if e.Action != poisonFor(destination) {
			n++
		}
	}
	return n
}

// refusingSplunk answers a request that holds a poison as the collector does: what stands
// before it is indexed, and it is named by its number (code 6).
func refusingSplunk(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := unpacked(r)
		decoder := json.NewDecoder(bytes.NewReader(body))
		for number, end := 0, int64(0); ; number++ {
			var object json.RawMessage
			if err := decoder.Decode(&object); err != nil {
				again(next, w, r, body)
				return
			}
			if !isPoison(object, inSplunk) {
				end = decoder.InputOffset()
				continue
			}
			if number > 0 {
				taken := httptest.NewRecorder()
				again(next, taken, r, body[:end])
				if taken.Code != http.StatusOK {
					maps.Copy(w.Header(), taken.Header())
					w.WriteHeader(taken.Code)
					_, _ = w.Write(taken.Body.Bytes())
					return
				}
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, number)
			return
		}
	})
}

// refusingDatadog refuses a request that holds a poison as a whole, and does not say why.
func refusingDatadog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := unpacked(r)
		if !isPoison(body, inDatadog) {
			again(next, w, r, body)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"errors":[{"status":"400","title":"Bad Request"}]}`)
	})
}

func isPoison(text []byte, destination string) bool {
	return bytes.Contains(text, []byte(`"action":"`+poisonFor(destination)+`"`))
}

// unpacked is the body of a request. A client that breaks off gets no answer.
func unpacked(r *http.Request) []byte {
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		in = z
	}
	body, err := io.ReadAll(io.LimitReader(in, 64<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return body
}

// again hands a request on with a body that was unpacked.
func again(next http.Handler, w http.ResponseWriter, r *http.Request, body []byte) {
	r = r.Clone(r.Context())
	r.Header.Del("Content-Encoding")
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	next.ServeHTTP(w, r)
}

// judgeLetters checks that the dead letters are exactly the poisons that were published,
// and is how many letters are copies of others, which only a crash explains.
func (f *feed) judgeLetters(t *testing.T, brokers []string) (copies int) {
	t.Helper()
	var want []string
	for _, e := range f.events[:f.published] {
		for _, destination := range []string{inSplunk, inDatadog} {
			if e.Action == poisonFor(destination) {
				want = append(want, streamTo(destination)+" rejected "+e.ID)
			}
		}
	}
	var got []string
	ids := map[string]bool{}
	for _, r := range readLetters(t, brokers, defaultPrefix) {
		header := map[string]string{}
		for _, h := range r.Headers {
			header[strings.TrimPrefix(h.Key, "auditstream.letter.")] = string(h.Value)
		}
		if ids[header["id"]] {
			copies++
			continue
		}
		ids[header["id"]] = true
		var streams []struct{ ID string }
		if err := json.Unmarshal([]byte(header["streams"]), &streams); err != nil || len(streams) != 1 {
			t.Fatalf("a letter names streams %s: %v", header["streams"], err)
		}
		got = append(got, streams[0].ID+" "+header["class"]+" "+idOf(t, r.Value))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	t.Logf("dead letters: %d, and %d copies", len(got), copies)
	return copies
}

// readLetters reads the whole topic of dead letters. Its name begins with prefix.
func readLetters(t *testing.T, brokers []string, prefix string) []*kgo.Record {
	t.Helper()
	topic := prefix + ".dead_letters"
	client := newClient(t, kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	var letters []*kgo.Record
	for left > int64(len(letters)) {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		letters = append(letters, fetches.Records()...)
	}
	return letters
}

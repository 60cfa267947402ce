package bench

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func TestObjectCounter(t *testing.T) {
	tests := []struct {
		name   string
		stream string
		want   int64
		err    error
	}{
		{"nothing", "", 0, nil},
		{"one", `{"event":{"a":1}}`, 1, nil},
		{"several, with and without space between", `{"event":1}{"event":2} {"event":[{}]}` + "\n{}", 4, nil},
		{"brackets and quotes within strings", `{"a":"}{\"}{"}{"b\\":"\\"}`, 2, nil},
		{"cut within an object", `{"a":1}{"b":`, 0, errCutObject},
		{"cut within a string", `{"a":"x`, 0, errCutObject},
		{"array", `[{"a":1}]`, 0, errBetweenObjects},
		{"comma between", `{"a":1},{"a":1}`, 0, errBetweenObjects},
		{"one bracket too many", `{"a":1}}`, 0, errBetweenObjects},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// However the stream is cut into reads, the count is the same.
			for size := 1; size <= max(1, len(tt.stream)); size++ {
				got, err := countInPieces(tt.stream, size)
				if got != tt.want || err != tt.err { //nolint:errorlint // the very values are returned
					t.Fatalf("in pieces of %d: %d, %v; want %d, %v", size, got, err, tt.want, tt.err)
				}
			}
		})
	}
}

func countInPieces(stream string, size int) (int64, error) {
	var c objectCounter
	for len(stream) > 0 {
		n := min(size, len(stream))
		if err := c.add([]byte(stream[:n])); err != nil {
			return 0, err
		}
		stream = stream[n:]
	}
	return c.end()
}

func FuzzObjectCounter(f *testing.F) {
	f.Add(`{"a":"\\\"}"}{"b":[1,{}]}`, 3)
	f.Fuzz(func(t *testing.T, stream string, size int) {
		if size < 1 || size > 1<<10 {
			t.Skip("no size of a read")
		}
		inPieces, pieceErr := countInPieces(stream, size)
		whole, err := countInPieces(stream, max(1, len(stream)))
		if inPieces != whole || (err == nil) != (pieceErr == nil) {
			t.Fatalf("pieces of %d: %d, %v; whole: %d, %v", size, inPieces, pieceErr, whole, err)
		}
		// Where encoding/json reads a run of objects, it reads as many.
		d := json.NewDecoder(strings.NewReader(stream))
		var n int64
		for {
			var object map[string]any
			err := d.Decode(&object)
			if err == io.EOF {
				break
			}
			if err != nil || object == nil {
				return
			}
			n++
		}
		if err != nil || n != whole {
			t.Fatalf("%d objects, %v; encoding/json reads %d", whole, err, n)
		}
	})
}

func TestEndpoint(t *testing.T) {
	two := `{"event":{"id":"a"}}{"event":{"id":"b"}}`
	tests := []struct {
		name     string
		token    string
		encoding string
		body     []byte
		status   int
		code     int
		events   int64
	}{
		{"plain", "Splunk secret", "", []byte(two), 200, 0, 2},
		{"gzip", "Splunk secret", "gzip", compressed(t, two), 200, 0, 2},
		{"cut gzip", "Splunk secret", "gzip", compressed(t, two)[:30], 400, 6, 0},
		{"not gzip", "Splunk secret", "gzip", []byte(two), 400, 6, 0},
		{"unknown encoding", "Splunk secret", "deflate", []byte(two), 400, 6, 0},
		{"cut object", "Splunk secret", "", []byte(two[:30]), 400, 6, 0},
		{"nothing", "Splunk secret", "", nil, 400, 5, 0},
		{"no token", "", "", []byte(two), 401, 2, 0},
		{"wrong token", "Splunk other", "", []byte(two), 403, 4, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEndpoint("secret")
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/services/collector/event", bytes.NewReader(tt.body))
			if tt.token != "" {
				r.Header.Set("Authorization", tt.token)
			}
			if tt.encoding != "" {
				r.Header.Set("Content-Encoding", tt.encoding)
			}
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			var got struct{ Code int }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != tt.status || got.Code != tt.code {
				t.Errorf("answered %d with code %d, want %d with %d", w.Code, got.Code, tt.status, tt.code)
			}
			c := e.Counts()
			if c.Events != tt.events {
				t.Errorf("counted %d events, want %d", c.Events, tt.events)
			}
			if taken := tt.events > 0; taken != !c.First.IsZero() || taken && c.Bytes != int64(len(tt.body)) {
				t.Errorf("counts are %+v", c)
			}
			e.Reset()
			if c := e.Counts(); c != (Counts{}) {
				t.Errorf("after a reset the counts are %+v", c)
			}
		})
	}
}

func compressed(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

package faults

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// double stores the bodies that reach it.
type double struct{ stored []string }

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.stored = append(d.stored, string(body))
	w.Header().Set("X-Own", "yes")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "own answer")
}

func TestAnswers(t *testing.T) {
	cases := []struct {
		name   string
		answer *Answer
		status int
		body   string
		own    bool
		stored int
	}{
		{"none: the double's own", nil, 201, "own answer", true, 1},
		{"another answer, nothing stored", &Answer{Status: 503, Body: []byte("busy")}, 503, "busy", false, 0},
		{"another answer after storing", &Answer{Store: true, Status: 503, Body: []byte("busy")}, 503, "busy", false, 1},
		{"the own answer after storing", &Answer{Store: true}, 201, "own answer", true, 1},
		{"a longer answer", &Answer{Store: true, Pad: 5}, 201, "own answer     ", true, 1},
		{"no status is 200", &Answer{}, 200, "", false, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := &double{}
			h := New(d)
			h.Program(func(*http.Request) *Answer { return c.answer })
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("body")))
			if w.Code != c.status || w.Body.String() != c.body || (w.Header().Get("X-Own") != "") != c.own || len(d.stored) != c.stored {
				t.Errorf("%d %q, own %v, stored %q", w.Code, w.Body, w.Header(), d.stored)
			}
			if padded := c.answer != nil && c.answer.Pad > 0; (h.Padded() == 1) != padded {
				t.Errorf("Padded is %d", h.Padded())
			}
		})
	}
}

func post(t *testing.T, server *httptest.Server) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	return server.Client().Do(req)
}

func TestCuts(t *testing.T) {
	cases := []struct {
		name   string
		answer Answer
		status int   // of an answer that begins; 0: none does
		want   error // of the request or, where an answer begins, of its body
		stored int
	}{
		{"before the body", Answer{Cut: CutBeforeBody}, 0, syscall.ECONNRESET, 0},
		{"before the answer", Answer{Cut: CutBeforeAnswer}, 0, syscall.ECONNRESET, 0},
		{"before the answer, stored", Answer{Store: true, Cut: CutBeforeAnswer}, 0, syscall.ECONNRESET, 1},
		{"in the answer, stored", Answer{Store: true, Cut: CutInAnswer}, 201, io.ErrUnexpectedEOF, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := &double{}
			h := New(d)
			h.Program(func(*http.Request) *Answer { return &c.answer })
			server := httptest.NewServer(h)
			defer server.Close()
			res, err := post(t, server)
			status := 0
			if err == nil {
				status = res.StatusCode
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			if status != c.status || !errors.Is(err, c.want) {
				t.Errorf("answered %d, %v; want %d, %v", status, err, c.status, c.want)
			}
			server.Close()
			if len(d.stored) != c.stored {
				t.Errorf("stored %q", d.stored)
			}
		})
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	d := &double{}
	h := New(d)
	reached := make(chan struct{})
	h.Program(func(*http.Request) *Answer {
		close(reached)
		return &Answer{Store: true, Hang: true}
	})
	server := httptest.NewServer(h)
	go func() {
		<-reached
		server.CloseClientConnections()
	}()
	res, err := post(t, server)
	if err == nil {
		_ = res.Body.Close()
		t.Errorf("answered %d", res.StatusCode)
	}
	server.Close() // waits for the handler
}

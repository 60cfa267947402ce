package app

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// The console is served beside the API: before Kafka answers with a page that says so, and
// then with what the control plane knows.
func TestTheConsoleBesideTheAPI(t *testing.T) {
	s := newSite(t)
	a := s.api(s.config(oneStream))
	base, _ := a.logged("the API is served").ContextMap()["url"].(string)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path string, form url.Values) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // only read
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, page := ask("GET", "/", nil); status != 200 || !strings.Contains(page, "Log in") {
		t.Error(status, page)
	}
	if status, page := ask("POST", "/login", url.Values{"token": {apiToken}}); status != 503 || !strings.Contains(page, "waits for Kafka") {
		t.Error(status, page)
	}
	s.there()
	eventually(t, "the overview", func() bool {
		status, page := ask("GET", "/", nil)
		return status == 200 && strings.Contains(page, "everything")
	})
	a.logged("partition taken")
	s.publish(0)
	s.delivered(30)
	for path, says := range map[string]string{
		"/streams": "1 stream", "/streams/everything": "Partitions", "/dead-letters": "There are no open dead letters", "/jobs": "There are no jobs",
		"/schemas": " actions", "/topics": "Consumer groups", "/streams/everything/skip?to=beginning": "sent again",
	} {
		if status, page := ask("GET", path, nil); status != 200 || !strings.Contains(page, says) || strings.Contains(page, "a-token") {
			t.Errorf("%s: %d\n%.3000s", path, status, page)
		}
	}
	a.end()
}

package app

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/config"
)

// observed starts what is served for operators and returns its address.
func observed(t *testing.T, cfg config.Observe) string {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	ctx, cancel := context.WithCancel(t.Context())
	v, err := newVitals("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	serve, err := observe(ctx, cfg, v, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve() }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	url, _ := logs.FilterMessage("observe").All()[0].ContextMap()["url"].(string)
	return url
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestMetricsSayWhichBinaryRuns(t *testing.T) {
	url := observed(t, config.Observe{Listen: "127.0.0.1:0"})
	status, body := get(t, url+"/metrics")
	if status != http.StatusOK || !strings.Contains(body, `auditstream_build_info{go_version="go`) || !strings.Contains(body, `version="1.2.3"`) {
		t.Errorf("%d\n%s", status, body)
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(body, name) {
			t.Errorf("there is no %s", name)
		}
	}
}

// A stranger who reaches the metrics must not get a dump of the memory by default.
func TestProfilesAreServedToThisMachineOnlyUnlessAsked(t *testing.T) {
	yes, no := new(true), new(false)
	cases := []struct {
		name   string
		listen string
		pprof  *bool
		want   bool
	}{
		{"a loopback address", "127.0.0.1:8081", nil, true},
		{"another loopback address", "[::1]:8081", nil, true},
		{"its name", "localhost:8081", nil, true},
		{"every address", ":8081", nil, false},
		{"every address, spelt out", "0.0.0.0:8081", nil, false},
		{"one that others reach", "10.0.0.7:8081", nil, false},
		{"a name", "audit.example:8081", nil, false},
		{"every address, asked for", ":8081", yes, true},
		{"a loopback address, refused", "127.0.0.1:8081", no, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := (config.Observe{Listen: c.listen, PProf: c.pprof}).ServesProfiles(); got != c.want {
				t.Errorf("served: %v, want %v", got, c.want)
			}
		})
	}
	for _, c := range []struct {
		pprof *bool
		want  int
	}{{yes, http.StatusOK}, {no, http.StatusNotFound}} {
		url := observed(t, config.Observe{Listen: "127.0.0.1:0", PProf: c.pprof})
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/profile?seconds=1"} {
			if status, _ := get(t, url+path); status != c.want {
				t.Errorf("pprof %v: %s answers %d, want %d", *c.pprof, path, status, c.want)
			}
		}
		if status, _ := get(t, url+"/debug/pprof/cmdline"); status != http.StatusNotFound {
			t.Errorf("the command line is served: %d", status)
		}
	}
}

package app

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"go.uber.org/zap"
)

func TestTracesAreOffUnlessTheEnvironmentSaysWhereTo(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	cases := []struct {
		name string
		env  map[string]string
		want bool
		bad  bool
	}{
		{"nothing is said", nil, false, false},
		{"an endpoint", map[string]string{endpoint: "http://127.0.0.1:4318"}, true, false},
		{"an endpoint for traces alone", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, true, false},
		{"the exporter alone, to the default endpoint", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, false},
		{"an endpoint, but none for traces", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, false, false},
		{"all of OpenTelemetry is off", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, false, false},
		{"an exporter that there is not", map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, true},
		{"a protocol that is not spoken", map[string]string{endpoint: "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, true},
		{"another protocol for other signals", map[string]string{
			endpoint: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
		}, true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := tracesWanted(func(name string) string { return c.env[name] })
			if got != c.want || (err != nil) != c.bad {
				t.Errorf("%v, %v; want %v, an error: %v", got, err, c.want, c.bad)
			}
		})
	}
}

// What is left when a process ends is exported, named as the environment has it.
func TestTracesAreExported(t *testing.T) {
	var mu sync.Mutex
	var bodies bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/v1/traces" {
			_, _ = io.Copy(&bodies, r.Body)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_SERVICE_NAME", "audit-of-acme")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	provider, done, err := Traces(t.Context(), "1.2.3", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "an attempt")
	span.End()
	done()
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"an attempt", "audit-of-acme", "1.2.3"} {
		if !bytes.Contains(bodies.Bytes(), []byte(want)) {
			t.Errorf("the collector has heard nothing of %q", want)
		}
	}
}

func TestProcessesWithoutTracesHaveNoProvider(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"} {
		t.Setenv(name, "")
	}
	provider, done, err := Traces(t.Context(), "1.2.3", zap.NewNop())
	if err != nil || provider != nil {
		t.Errorf("%v, %v", provider, err)
	}
	done()
}

package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Traces are exported as the environment variables of OpenTelemetry say, and only when they
// say where to. docs/tracing.md lists those that count.

// instrumentation is what the spans of delivery say they come from.
const instrumentation = "github.com/auditstream/auditstream/consumer"

// tracesEnd bounds the wait at the end of a process for spans that are not exported yet.
const tracesEnd = 2 * time.Second

// tracesWanted says whether somebody wants them.
func tracesWanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	exporter := getenv("OTEL_TRACES_EXPORTER")
	somewhere := getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	switch exporter {
	case "none":
		return false, nil
	case "":
		if !somewhere {
			return false, nil
		}
	case "otlp":
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER=%s is not known; there are: otlp, none", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := getenv(name); protocol != "" {
			if protocol != "http/protobuf" {
				return false, fmt.Errorf("%s=%s is not spoken; give http/protobuf, and the collector's port for it (4318 by default)", name, protocol)
			}
			break
		}
	}
	return true, nil
}

// Tracer is auditstream's own of a provider; nil without one.
func Tracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		return nil
	}
	return p.Tracer(instrumentation)
}

// Traces sets up traces if the environment asks for them, else it returns nil. done exports
// what is left, and is to be called in any case.
func Traces(ctx context.Context, version string, log *zap.Logger) (_ trace.TracerProvider, done func(), err error) {
	done = func() {}
	wanted, err := tracesWanted(os.Getenv)
	if err != nil || !wanted {
		return nil, done, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, done, fmt.Errorf("traces: %w", err)
	}
	// What the environment says of the service (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES)
	// counts before what the binary says.
	of, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "auditstream"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, done, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	log = sampled(log.Named("traces"))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("spans are not exported", zap.Error(err)) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(of))
	return provider, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesEnd)
		defer cancel()
		if err := provider.Shutdown(ending); err != nil {
			log.Warn("the last spans are not exported", zap.Error(err))
		}
	}, nil
}

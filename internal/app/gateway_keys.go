package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/httpserver"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/producer/gateway/access"
)

// keys are the API keys of the configuration.
func (g Gateway) keys(ctx context.Context, figures prometheus.Registerer, log *zap.Logger) (*access.Keys, error) {
	var keys []access.Key
	for i, k := range g.Config.Gateway.Keys {
		key := access.Key{
			Caller: gateway.Caller{Name: k.Name, Organizations: k.Organizations, Actions: k.Actions, Allow: k.Allow},
			Place:  fmt.Sprintf("gateway.keys[%d]", i), Expires: k.Expires, Certificates: k.Certificates, Read: k.Key.Resolve,
		}
		if k.Hash != "" {
			key.Read = func(context.Context) (string, error) { return k.Hash, nil }
		}
		keys = append(keys, key)
	}
	return access.New(ctx, access.Config{Keys: keys, Metrics: figures, Log: log})
}

// rates are the bounds of keys and organizations; nil: there are none.
func (g Gateway) rates() gateway.Rates {
	limits := g.Config.Gateway.Limits
	c := access.RatesConfig{Key: rate(limits.Key), Organization: rate(limits.Organization), Keys: map[string]access.Rate{}}
	for _, k := range g.Config.Gateway.Keys {
		if k.Limit != nil {
			c.Keys[k.Name] = rate(*k.Limit)
		}
	}
	if r := access.NewRates(c); r != nil {
		return r
	}
	return nil
}

func rate(r config.Rate) access.Rate { return access.Rate{PerSecond: r.PerSecond, Burst: r.Burst} }

// connectionFigures are about the connections of the gateway.
func connectionFigures(figures prometheus.Registerer) (httpserver.Figures, error) {
	f := httpserver.Figures{
		Open: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "auditstream", Subsystem: "gateway", Name: "connections", Help: "Connections that are open; gateway.connections bounds them.",
		}),
		Evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "auditstream", Subsystem: "gateway", Name: "connections_evicted_total",
			Help: "Connections that were closed because gateway.connections were open.",
		}),
	}
	return f, errors.Join(figures.Register(f.Open), figures.Register(f.Evicted))
}

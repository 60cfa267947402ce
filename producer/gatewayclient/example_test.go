package gatewayclient_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/producer/gatewayclient"
	"github.com/auditstream/auditstream/schema"
)

func Example() {
	// A gateway in this process stands in for yours.
	var kafka audittest.Recorder
	handler, err := gateway.NewServer(gateway.Config{Publisher: &kafka, Keys: keys{}})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	client, err := gatewayclient.New(gatewayclient.Config{
		URL: server.URL,
		Key: func(context.Context) (string, error) { return apiKey, nil }, // from your secrets
	})
	if err != nil {
		panic(err)
	}
	err = client.Publish(context.Background(), &schema.Event{
		OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
		Action:         "a.b",
		OccurredAt:     "2026-11-22T10:00:00Z",
		Actor:          schema.Actor{ID: "user_1", Type: "user"},
		Targets:        []schema.Target{{ID: "team_1", Type: "team"}},
	})
	fmt.Println("published, error:", err)
	fmt.Println("closed, error:", client.Close(context.Background()))
	fmt.Println("in Kafka:", kafka.Events()[0].Action)
	// Output:
	// published, error: <nil>
	// closed, error: <nil>
	// in Kafka: a.b
}

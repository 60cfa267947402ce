package producer_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/twmb/franz-go/pkg/kfake"
)

func Example() {
	ctx := context.Background()
	// A broker in this process stands in for your Kafka.
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, "audit.events"))
	if err != nil {
		log.Fatal(err)
	}
	defer kafka.Close()

	client, err := producer.New(producer.Config{Brokers: kafka.ListenAddrs()})
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := client.Close(ctx); err != nil {
			log.Print(err) // events that Kafka has not acknowledged
		}
	}()

	err = client.Publish(ctx, &schema.Event{
		OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
		Action:         "user.signed_in",
		OccurredAt:     time.Now().Format(time.RFC3339),
		Actor:          schema.Actor{ID: "user_1", Type: "user", Name: "Ada"},
		Targets:        []schema.Target{{ID: "team_1", Type: "team"}},
	})
	fmt.Println("published, error:", err)
	// Output: published, error: <nil>
}

//go:build integration

package integration

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/auditstream/auditstream/integration/servers"
)

// Exactly-once delivery to S3 stands on this: of many writers that create one key under
// "If-None-Match: *", one wins and the others are told so.
func TestS3ConditionalCreateHasOneWinner(t *testing.T) {
	store := servers.StartS3(t)
	client := store.Client()
	const writers = 20
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			_, errs[i] = client.PutObject(t.Context(), &awss3.PutObjectInput{
				Bucket: &store.Bucket, Key: new("one"), IfNoneMatch: new("*"),
				Body: strings.NewReader(strings.Repeat(string(rune('a'+i)), 1000)),
			})
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		if err == nil {
			if winner >= 0 {
				t.Errorf("writers %d and %d both created the object", winner, i)
			}
			winner = i
			continue
		}
		if apiErr, ok := errors.AsType[smithy.APIError](err); !ok || apiErr.ErrorCode() != "PreconditionFailed" {
			t.Errorf("writer %d: %v, want PreconditionFailed", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody created the object")
	}
	got, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &store.Bucket, Key: new("one")})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat(string(rune('a'+winner)), 1000); string(body) != want {
		t.Errorf("the object holds %.10q…, want what its winner wrote, %.10q…", body, want)
	}
}

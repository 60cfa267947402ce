//go:build integration

package integration

import (
	"os"
	"os/exec"
	"testing"

	"github.com/auditstream/auditstream/integration/servers"
)

// The sink's own tests of what it promises, against a server that was written by others:
// random histories of a lane, each event exactly once, and what of keeping objects (locks,
// check sums) that server knows. AUDITSTREAM_SEED plays the histories of an earlier run
// again.
func TestS3SinkWithARealStore(t *testing.T) {
	store := servers.StartS3(t)
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-timeout", "15m", "-run", "WithARealStore$", "./sinks/s3")
	cmd.Dir = servers.Repository(t)
	cmd.Env = append(os.Environ(),
		"AUDITSTREAM_S3_ENDPOINT="+store.Endpoint,
		"AUDITSTREAM_S3_ACCESS_KEY="+store.AccessKey,
		"AUDITSTREAM_S3_SECRET_KEY="+store.SecretKey,
	)
	said, err := cmd.CombinedOutput()
	t.Logf("%s", said)
	if err != nil {
		t.Fatal(err)
	}
}

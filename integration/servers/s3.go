//go:build linux

package servers

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/closedport"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3 is a versitygw, a real S3 server, with one bucket.
type S3 struct {
	Endpoint  string // URL
	Region    string
	Bucket    string
	AccessKey string
	SecretKey string

	dir     string
	program string
	address string
	process *Process
}

// StartS3 builds the pinned versitygw, starts it and makes the bucket.
func StartS3(t *testing.T) *S3 {
	t.Helper()
	root := Repository(t)
	s := &S3{
		Region:    "us-east-1",
		Bucket:    "audit",
		AccessKey: "integration",
		SecretKey: "integration-secret",
		dir:       filepath.Join(t.TempDir(), "s3"),
		program:   filepath.Join(root, ".cache", "bin", "versitygw"),
		address:   closedport.Address(t),
	}
	s.Endpoint = "http://" + s.address
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	goBuild(t, filepath.Join(root, "tools"), s.program, "github.com/versity/versitygw/cmd/versitygw")
	s.Start(t)
	if _, err := s.Client().CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &s.Bucket}); err != nil {
		t.Fatalf("make the bucket: %v", err)
	}
	return s
}

// Start starts the server, with the objects it had, and returns when it accepts connections.
func (s *S3) Start(t *testing.T) {
	t.Helper()
	s.process = StartProcess(t, "versitygw", s.program,
		[]string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey},
		"--port", s.address, "--region", s.Region, "--quiet", "posix", s.dir)
	Await(t, time.Minute, "versitygw accepts connections", func() bool {
		s.process.Running(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", s.address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// Kill ends the server with SIGKILL.
func (s *S3) Kill(t *testing.T) {
	t.Helper()
	s.process.Kill(t)
}

// Client is a client with the server's credentials.
func (s *S3) Client() *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(s.Endpoint),
		Region:       s.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		UsePathStyle: true,
	})
}

//go:build linux

package servers

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
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

	config  S3Config
	dir     string
	program string
	address string
	process *Process
}

// S3Config says what server to make.
type S3Config struct {
	ObjectLock bool // the bucket has Object Lock, and versions, as with Amazon
}

// StartS3 builds the pinned versitygw, starts it and makes the bucket.
func StartS3(t *testing.T) *S3 {
	t.Helper()
	return StartS3With(t, S3Config{})
}

// StartS3With is StartS3 for a server of another kind.
func StartS3With(t *testing.T, config S3Config) *S3 {
	t.Helper()
	root := Repository(t)
	s := &S3{
		config:    config,
		Region:    "us-east-1",
		Bucket:    "audit",
		AccessKey: "integration",
		SecretKey: "integration-secret",
		dir:       filepath.Join(t.TempDir(), "s3"),
		program:   filepath.Join(root, ".cache", "bin", "versitygw"),
		address:   closedport.Address(t),
	}
	s.Endpoint = "http://" + s.address
	for _, dir := range []string{s.dir, s.versions(), s.accounts()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	goBuild(t, filepath.Join(root, "tools"), s.program, "github.com/versity/versitygw/cmd/versitygw")
	s.Start(t)
	bucket := &awss3.CreateBucketInput{Bucket: &s.Bucket, ObjectLockEnabledForBucket: &config.ObjectLock}
	if _, err := s.Client().CreateBucket(t.Context(), bucket); err != nil {
		t.Fatalf("make the bucket: %v", err)
	}
	return s
}

func (s *S3) versions() string { return s.dir + "-versions" }
func (s *S3) accounts() string { return s.dir + "-accounts" }

// Start starts the server, with the objects it had, and returns when it accepts connections.
func (s *S3) Start(t *testing.T) {
	t.Helper()
	args := []string{"--port", s.address, "--region", s.Region, "--quiet", "--iam-dir", s.accounts(), "posix"}
	if s.config.ObjectLock {
		args = append(args, "--versioning-dir", s.versions())
	}
	s.process = StartProcess(t, "versitygw", s.program,
		[]string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey}, append(args, s.dir)...)
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

// Client is a client with the credentials of the server's owner.
func (s *S3) Client() *awss3.Client { return s.ClientOf(s.AccessKey, s.SecretKey) }

// ClientOf is a client with the credentials of an account.
func (s *S3) ClientOf(accessKey, secretKey string) *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(s.Endpoint),
		Region:       s.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		UsePathStyle: true,
	})
}

// Account makes an account that may do with the bucket what actions name, and nothing else.
func (s *S3) Account(t *testing.T, name string, actions ...string) (secretKey string) {
	t.Helper()
	secretKey = name + "-secret"
	cmd := exec.CommandContext(t.Context(), s.program, "admin", "--access", s.AccessKey, "--secret", s.SecretKey, "--region", s.Region,
		"--endpoint-url", s.Endpoint, "create-user", "--access", name, "--secret", secretKey, "--role", "user")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the account %s: %v\n%s", name, err, said)
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"AWS": []string{name}}, "Action": actions,
		"Resource": []string{"arn:aws:s3:::" + s.Bucket, "arn:aws:s3:::" + s.Bucket + "/*"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().PutBucketPolicy(t.Context(), &awss3.PutBucketPolicyInput{Bucket: &s.Bucket, Policy: aws.String(string(policy))}); err != nil {
		t.Fatalf("the policy of the bucket: %v", err)
	}
	return secretKey
}

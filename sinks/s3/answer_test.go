package s3

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/auditstream/auditstream/sinks"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                              0,
		"5":                             5 * time.Second,
		"0":                             0,
		"-5":                            0,
		"1.5":                           0,
		"99999":                         time.Hour,
		"99999999999999999999":          0,
		"Sun, 22 Nov 2026 10:00:30 GMT": 30 * time.Second,
		"Sun, 22 Nov 2026 09:00:30 GMT": 0,
		"Mon, 23 Nov 2026 10:00:30 GMT": time.Hour,
		"soon":                          0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestClockAdviceSaysHowFarAndInWhichDirection(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for date, want := range map[string]string{
		"Sun, 22 Nov 2026 10:20:00 GMT": "this machine's clock is 20m0s behind the store's: set it",
		"Sun, 22 Nov 2026 09:00:00 GMT": "this machine's clock is 1h0m0s ahead of the store's: set it",
		"":                              "this machine's clock is wrong: set it",
	} {
		if got := clockAdvice(date, now); got != want {
			t.Errorf("clockAdvice(%q) = %q, want %q", date, got, want)
		}
	}
}

func TestAccessAdviceNamesTheActionThatIsMissing(t *testing.T) {
	for text, want := range map[string]string{
		"Access Denied": "allow these credentials s3:PutObject and s3:GetObject",
		`User: arn:aws:iam::1:user/x is not authorized to perform: s3:PutObjectRetention on resource: "arn:aws:s3:::b/k" because no identity-based policy allows it`: "allow these credentials s3:PutObjectRetention on the prefix",
		"User: arn:aws:sts::1:assumed-role/x/y is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-central-1:1:key/k":                      "allow these credentials kms:GenerateDataKey with the key",
	} {
		if got := accessAdvice(text); !strings.Contains(got, want) {
			t.Errorf("accessAdvice(%.40q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("5")
	f.Add("Sun, 22 Nov 2026 10:00:30 GMT")
	f.Fuzz(func(t *testing.T, text string) {
		if d := retryAfter(text, time.Unix(1795341600, 0)); d < 0 || d > maxRetryAfter {
			t.Errorf("retryAfter(%q) = %v", text, d)
		}
	})
}

func TestClipKeepsWholeCharacters(t *testing.T) {
	for _, text := range []string{"short", strings.Repeat("é", 2000), "x" + strings.Repeat("é", 2000), strings.Repeat("\xff", 5000)} {
		got := clip(text)
		if len(got) > sinks.MaxAnswer || !utf8.ValidString(got) || len(got) < min(len(text), sinks.MaxAnswer-4) && !strings.Contains(text, "\xff") {
			t.Errorf("clip of %d bytes gives %d bytes, valid UTF-8: %v", len(text), len(got), utf8.ValidString(got))
		}
	}
}

func TestScrub(t *testing.T) {
	k := &keyring{}
	k.remember(aws.Credentials{AccessKeyID: "AKIAOLDOLDOLDOLDOLD0", SecretAccessKey: "old/secret"})
	k.remember(aws.Credentials{AccessKeyID: "ASIANEWNEWNEWNEWNEW0", SecretAccessKey: "new/secret", SessionToken: "token=="})
	got := k.scrub("AKIAOLDOLDOLDOLDOLD0 old/secret ASIANEWNEWNEWNEWNEW0 new/secret token== other")
	if want := "AKIA… [secret] ASIA… [secret] [secret] other"; got != want {
		t.Errorf("scrub gives %q, want %q", got, want)
	}
}

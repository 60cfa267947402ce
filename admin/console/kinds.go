package console

import (
	"net/url"
	"slices"

	"github.com/a-h/templ"
)

// kind is a kind of destination as the form asks for it: the settings that most streams of it
// have. The others are written as they stand in a configuration file.
type kind struct {
	name, title, what string
	fields            []field
}

// field is a setting.
type field struct {
	name, label, example    string
	required, secret, truth bool
	list                    bool // the value is a list of one
}

func kinds() []kind {
	return []kind{
		{"splunk", "Splunk", "HTTP Event Collector", []field{
			{name: "url", label: "URL", example: "https://splunk.acme.example:8088", required: true},
			{name: "token", label: "HEC token", secret: true, required: true},
			{name: "index", label: "Index", example: "audit"},
			{name: "acknowledge", label: "Wait for the indexers’ acknowledgement", truth: true},
		}},
		{"s3", "S3", "Amazon S3 and compatible stores, each event exactly once", []field{
			{name: "bucket", label: "Bucket", example: "acme-audit", required: true},
			{name: "region", label: "Region", example: "eu-central-1"},
			{name: "prefix", label: "Prefix of keys", example: "audit/"},
			{name: "role_arn", label: "Role to assume", example: "arn:aws:iam::123456789012:role/auditstream"},
			{name: "endpoint", label: "Endpoint of a compatible store", example: "https://s3.acme.example"},
			{name: "access_key_id", label: "Access key id"},
			{name: "secret_access_key", label: "Secret access key", secret: true},
		}},
		{"datadog", "Datadog", "Logs", []field{
			{name: "site", label: "Site", example: "datadoghq.eu", required: true},
			{name: "api_key", label: "API key", secret: true, required: true},
			{name: "service", label: "Service", example: "auditstream"},
		}},
		{"https", "Any URL", "HTTPS, signed as Standard Webhooks have it", []field{
			{name: "url", label: "URL", example: "https://hooks.acme.example/audit", required: true},
			{name: "signing_secrets", label: "Signing secret", secret: true, list: true},
		}},
		{"scs", "Splunk Cloud Services", "Ingest service, legacy", []field{
			{name: "tenant", label: "Tenant", required: true},
			{name: "client_id", label: "Client id", required: true},
			{name: "client_secret", label: "Client secret", secret: true, required: true},
		}},
		{"file", "Files", "of the machine that delivers", []field{
			{name: "dir", label: "Directory", example: "/var/lib/auditstream/out", required: true},
		}},
	}
}

// kindNamed is a kind; whether there is one of the name.
func kindNamed(name string) (kind, bool) {
	list := kinds()
	if i := slices.IndexFunc(list, func(k kind) bool { return k.name == name }); i >= 0 {
		return list[i], true
	}
	return kind{name: name, title: name}, false
}

func kindURL(name string) templ.SafeURL {
	return templ.SafeURL("/streams/new?" + url.Values{"kind": {name}}.Encode())
}

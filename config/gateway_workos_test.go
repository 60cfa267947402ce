package config_test

import (
	"strings"
	"testing"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/sinks/all"
)

func TestWhatIsWrongWithWorkOS(t *testing.T) {
	tests := map[string]struct{ section, says string }{
		"an organization that no event has": {`organization: acme`, `gateway.workos.organization: "acme" does not match`},
		"all organizations":                 {`organizations: ["*"]`, `gateway.workos.organizations[0]: "*" does not match`},
		"no organization":                   {`organizations: []`, `is an empty list, which takes nothing`},
		"no secret":                         {`webhook: {secrets: []}`, `gateway.workos.webhook.secrets: is an empty list`},
		"a secret that stands there":        {`webhook: {secrets: [whsec_abc]}`, `gateway.workos.webhook.secrets[0]`},
		"no tolerance":                      {`webhook: {tolerance: 0s}`, `gateway.workos.webhook.tolerance: is less than 1s`},
		"a key in the clear":                {`poll: {api_key: {env: K}, url: "http://workos.example"}`, `must begin with https`},
		"a URL with a key in it":            {`poll: {api_key: {env: K}, url: "https://sk_1@workos.example"}`, `has more than scheme, host and path`},
		"no URL":                            {`poll: {api_key: {env: K}, url: workos}`, `gateway.workos.poll.url: is not a URL`},
		"a wildcard":                        {`poll: {api_key: {env: K}, events: ["user.*"]}`, `gateway.workos.poll.events[0]: is not a type of Event such as user.created; WorkOS takes no wildcards`},
		"no types":                          {`poll: {api_key: {env: K}, events: []}`, `asks for nothing`},
		"more than WorkOS keeps":            {`poll: {api_key: {env: K}, backfill: 31d}`, `gateway.workos.poll.backfill: is more than 30d`},
		"too often":                         {`poll: {api_key: {env: K}, interval: 10ms}`, `gateway.workos.poll.interval: is less than 1s`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("test.yaml", []byte("kafka: {brokers: [a:1]}\ngateway: {workos: {"+test.section+"}}\n"), all.Kinds())
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

func TestALocalWorkOSNeedsNoTLS(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:4000", "http://localhost", "http://[::1]:80/api"} {
		text := "kafka: {brokers: [a:1]}\ngateway: {workos: {poll: {api_key: {env: K}, url: \"" + url + "\"}}}\n"
		c, err := config.Parse("test.yaml", []byte(text), all.Kinds())
		if err != nil {
			t.Errorf("%s: %v", url, err)
		} else if !c.Gateway.TakesEvents() {
			t.Errorf("%s: nobody brings events", url)
		}
	}
}

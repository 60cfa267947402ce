package audithttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/producer/audithttp"
	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

func Example() {
	var client audittest.Recorder // in a service: a *producer.Client

	invite := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := client.Publish(r.Context(), catalogue.UserInvited(catalogue.UserInvitedEvent{
			Common:   auditctx.Common(r.Context()),
			Metadata: catalogue.UserInvitedMetadata{Email: r.FormValue("email"), Role: "member"},
		}))
		if err != nil {
			http.Error(w, "not done: it could not be audited", http.StatusServiceUnavailable)
		}
	})
	service := audithttp.Middleware(audithttp.Config{
		// What the service's authentication has found out.
		Actor: func(r *http.Request) (schema.Actor, bool) {
			id, _, ok := r.BasicAuth()
			return schema.Actor{ID: id, Type: "user"}, ok
		},
		Organization:   func(*http.Request) string { return "org_01JAAAAAAAAAAAAAAAAAAAAAAA" },
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})(invite)

	r := httptest.NewRequest(http.MethodPost, "/invite?email=bob@example.com", nil) //nolint:noctx // as brief as an example can be
	r.RemoteAddr = "10.0.0.7:41234"                                                 // the load balancer
	r.Header.Set("X-Forwarded-For", "198.51.100.23")
	r.Header.Set("User-Agent", "Mozilla/5.0")
	r.SetBasicAuth("user_1", "")
	service.ServeHTTP(httptest.NewRecorder(), r)

	for _, e := range client.Events() {
		fmt.Println(e.Action, e.Metadata["email"], "by", e.Actor.ID, "from", e.Context.Location, e.Context.UserAgent)
	}
	// Output: user.invite bob@example.com by user_1 from 198.51.100.23 Mozilla/5.0
}

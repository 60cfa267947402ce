package admin

import "github.com/auditstream/auditstream/integrity"

// routes are all operations of the API. A test holds them against its description.
func (s *server) routes() []route {
	return []route{
		{method: "GET", path: "/v1/openapi.json", open: true, handle: openAPI(typeJSON)},
		{method: "GET", path: "/v1/openapi.yaml", open: true, handle: openAPI(typeYAML)},
		{method: "GET", path: integrity.WellKnown, open: true, handle: (*request).integrityKeys},
		{method: "GET", path: "/v1/whoami", handle: (*request).whoami},

		{method: "GET", path: "/v1/streams", weight: heavy, handle: (*request).streams},
		{method: "POST", path: "/v1/streams", weight: heavy, handle: (*request).createStream},
		{method: "GET", path: "/v1/streams/{id}", handle: (*request).stream},
		{method: "PUT", path: "/v1/streams/{id}", weight: heavy, handle: (*request).updateStream},
		{method: "DELETE", path: "/v1/streams/{id}", weight: heavy, handle: (*request).deleteStream},
		{method: "GET", path: "/v1/streams/{id}/history", handle: (*request).history},
		{method: "GET", path: "/v1/streams/{id}/report", weight: heavy, handle: (*request).reportStream},
		{method: "POST", path: "/v1/streams/{id}/pause", weight: heavy, handle: (*request).pauseStream},
		{method: "POST", path: "/v1/streams/{id}/resume", weight: heavy, handle: (*request).resumeStream},
		{method: "POST", path: "/v1/streams/{id}/skip", weight: heavy, handle: (*request).skipStream},
		{method: "POST", path: "/v1/streams/{id}/test", weight: heavy, handle: (*request).testStream},
		{method: "POST", path: "/v1/streams/{id}/try", handle: (*request).tryStream},
		{method: "POST", path: "/v1/streams/{id}/replay", weight: heavy, handle: (*request).replayStream},
		{method: "GET", path: "/v1/history", weight: heavy, handle: (*request).history},
		{method: "POST", path: "/v1/plan", handle: (*request).planStream},
		{method: "POST", path: "/v1/test", weight: heavy, handle: (*request).testDraft},
		{method: "POST", path: "/v1/try", handle: (*request).try},

		{method: "GET", path: "/v1/tail", weight: following, handle: (*request).tail},
		{method: "GET", path: "/v1/explain", weight: heavy, handle: (*request).explain},

		{method: "GET", path: "/v1/dead-letters", weight: heavy, handle: (*request).deadLetters},
		{method: "GET", path: "/v1/dead-letters/{position}", weight: heavy, handle: (*request).deadLetter},
		{method: "POST", path: "/v1/dead-letters/discard", weight: heavy, handle: (*request).discard},
		{method: "POST", path: "/v1/dead-letters/redrive", weight: heavy, handle: (*request).redrive},

		{method: "GET", path: "/v1/jobs", handle: (*request).jobs},
		{method: "GET", path: "/v1/jobs/{uid}", handle: (*request).job},
		{method: "POST", path: "/v1/jobs/{uid}/stop", weight: heavy, handle: (*request).stopJob},
		{method: "POST", path: "/v1/jobs/{uid}/resume", weight: heavy, handle: (*request).resumeJob},
		{method: "DELETE", path: "/v1/jobs/{uid}", weight: heavy, handle: (*request).forgetJob},

		{method: "GET", path: "/v1/schemas", handle: (*request).schemas},
		{method: "GET", path: "/v1/schemas/{action}", handle: (*request).schema},
		{method: "GET", path: "/v1/topics", handle: (*request).topics},
	}
}

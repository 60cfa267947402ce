package gateway

// routes are all operations. A test holds them against their description.
func (s *server) routes() []route {
	routes := []route{
		{method: "GET", path: "/openapi.json", open: true, handle: s.openAPI(typeJSON)},
		{method: "GET", path: "/openapi.yaml", open: true, handle: s.openAPI(typeYAML)},
		{method: "POST", path: "/audit_logs/events", handle: (*request).createEvent},
		{method: "POST", path: "/audit_logs/events/batch", handle: (*request).createEvents},
	}
	if s.cfg.Schemas != nil {
		routes = append(routes,
			route{method: "GET", path: "/audit_logs/actions", handle: (*request).listActions},
			route{method: "GET", path: "/audit_logs/actions/{name}/schemas", handle: (*request).listSchemas},
			route{method: "POST", path: "/audit_logs/actions/{name}/schemas", handle: (*request).createSchema},
		)
	}
	if s.cfg.Exports != nil {
		routes = append(routes,
			route{method: "POST", path: "/audit_logs/exports", handle: (*request).createExport},
			route{method: "GET", path: "/audit_logs/exports/{id}", handle: (*request).getExport},
			route{method: "GET", path: "/audit_logs/exports/{id}/download", open: true, handle: (*request).download},
		)
	}
	if s.cfg.Retentions != nil {
		routes = append(routes,
			route{method: "GET", path: "/organizations/{id}/audit_logs_retention", handle: (*request).getRetention},
			route{method: "PUT", path: "/organizations/{id}/audit_logs_retention", handle: (*request).putRetention},
		)
	}
	for _, e := range s.cfg.Extra {
		routes = append(routes, route{method: e.Method, path: e.Path, open: true, handle: func(r *request) error {
			e.Handler.ServeHTTP(r.w, r.Request)
			return nil
		}})
	}
	return routes
}

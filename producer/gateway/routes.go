package gateway

// routes are all operations.
func (s *server) routes() []route {
	routes := []route{
		{method: "POST", path: "/audit_logs/events", handle: (*request).createEvent},
		{method: "POST", path: "/audit_logs/events/batch", handle: (*request).createEvents},
	}
	for _, e := range s.cfg.Extra {
		routes = append(routes, route{method: e.Method, path: e.Path, open: true, handle: func(r *request) error {
			e.Handler.ServeHTTP(r.w, r.Request)
			return nil
		}})
	}
	return routes
}

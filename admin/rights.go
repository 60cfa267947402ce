package admin

// rights are the roles that the methods of a [Service] need, each by its name.
func rights() map[string]Role {
	return map[string]Role{
		// Looking at what stands where, which shows no event and no secret.
		"Streams":     RoleViewer,
		"Stream":      RoleViewer,
		"History":     RoleViewer,
		"PlanStream":  RoleViewer, // what a pull request would change
		"Schemas":     RoleViewer,
		"Schema":      RoleViewer,
		"Topics":      RoleViewer,
		"Tail":        RoleViewer, // with payloads: an operator
		"Explain":     RoleViewer,
		"DeadLetters": RoleViewer,
		"DeadLetter":  RoleViewer, // with the record: an operator
		"Jobs":        RoleViewer,
		"Job":         RoleViewer,

		// Operating. What only counts reads the log for minutes, and is no viewer's.
		"PauseStream":        RoleOperator,
		"ResumeStream":       RoleOperator,
		"PlanSkip":           RoleOperator,
		"ReportStream":       RoleOperator,
		"SkipStream":         RoleOperator,
		"TestStream":         RoleOperator,
		"Try":                RoleOperator, // with the key of a stream's HMAC it would tell whose hash is whose
		"TryStream":          RoleOperator,
		"DiscardDeadLetters": RoleOperator,
		"PlanReplay":         RoleOperator,
		"PlanRedrive":        RoleOperator,
		"StartReplay":        RoleOperator,
		"StartRedrive":       RoleOperator,
		"StopJob":            RoleOperator,
		"ResumeJob":          RoleOperator,
		"ForgetJob":          RoleOperator,

		// Deciding where events go.
		"CreateStream": RoleAdmin,
		"UpdateStream": RoleAdmin,
		"DeleteStream": RoleAdmin,
		"TestDraft":    RoleAdmin, // sends to wherever the draft says
	}
}

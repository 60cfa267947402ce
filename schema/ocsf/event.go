package ocsf

// Event is an audit event as OCSF has it: what the five classes of identity and access
// management have in common, and of each what it needs. A nil part is not there. Its
// JSON has the members in the order of their names.
type Event struct {
	ActivityID   int            `json:"activity_id"`
	ActivityName string         `json:"activity_name"`
	Actor        Actor          `json:"actor"`
	CategoryName string         `json:"category_name"`
	CategoryUID  int            `json:"category_uid"`
	ClassName    string         `json:"class_name"`
	ClassUID     int            `json:"class_uid"`
	Entity       *Entity        `json:"entity,omitempty"` // class 3004
	Group        *Group         `json:"group,omitempty"`  // class 3006
	HTTPRequest  *HTTPRequest   `json:"http_request,omitempty"`
	Message      string         `json:"message"`
	Metadata     Metadata       `json:"metadata"`
	Privileges   []string       `json:"privileges,omitempty"` // class 3005
	Service      *Service       `json:"service,omitempty"`    // class 3002
	Session      *Session       `json:"session,omitempty"`    // class 3002
	Severity     string         `json:"severity"`
	SeverityID   int            `json:"severity_id"`
	SrcEndpoint  *Endpoint      `json:"src_endpoint,omitempty"`
	Status       string         `json:"status"`
	StatusCode   string         `json:"status_code,omitempty"`
	StatusDetail string         `json:"status_detail,omitempty"`
	StatusID     int            `json:"status_id"`
	Time         int64          `json:"time"` // milliseconds since 1970-01-01 UTC
	TypeName     string         `json:"type_name"`
	TypeUID      int            `json:"type_uid"`
	Unmapped     map[string]any `json:"unmapped,omitempty"` // what has no place above, under the names of the audit event
	User         *User          `json:"user,omitempty"`     // classes 3001, 3002, 3005 and 3006
}

// Actor is who did it.
type Actor struct {
	User User `json:"user"`
}

// User is a person or a program with an account.
type User struct {
	EmailAddr string `json:"email_addr,omitempty"`
	Name      string `json:"name,omitempty"`
	Type      string `json:"type,omitempty"`
	TypeID    int    `json:"type_id"`
	UID       string `json:"uid,omitempty"`
}

// Entity is what was managed.
type Entity struct {
	Name   string `json:"name,omitempty"`
	Type   string `json:"type,omitempty"`
	TypeID int    `json:"type_id"`
	UID    string `json:"uid,omitempty"`
}

// Group is a group of users.
type Group struct {
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
	UID  string `json:"uid,omitempty"`
}

// HTTPRequest is the request by which it was done.
type HTTPRequest struct {
	UserAgent string `json:"user_agent"`
}

// Endpoint is where it was done from.
type Endpoint struct {
	IP string `json:"ip"`
}

// Service is what a user signed in to.
type Service struct {
	Name string `json:"name"`
}

// Session is a user's session.
type Session struct {
	UID string `json:"uid"`
}

// Metadata is about the event itself.
type Metadata struct {
	EventCode    string  `json:"event_code"` // the audit event's action
	OriginalTime string  `json:"original_time"`
	Product      Product `json:"product"`
	Sequence     int64   `json:"sequence,omitempty"`   // the event's number in its feed, from 1 on
	TenantUID    string  `json:"tenant_uid,omitempty"` // its organization
	UID          string  `json:"uid,omitempty"`        // its id
	Version      string  `json:"version"`              // of OCSF
}

// Product is what reports the event.
type Product struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

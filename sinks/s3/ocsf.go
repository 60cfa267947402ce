package s3

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The rows of a table in Security Lake: an event in OCSF, as package schema/ocsf writes it
// to JSON, and as it is read back: what that leaves out when it is empty is left out here. Each class is a table of its own. A column never changes its type, and none is
// taken away: the tables' readers have learned them. What OCSF has no place for is in
// unmapped, as JSON.

// row is what all classes have.
type row struct {
	ActivityID   int32        `json:"activity_id" parquet:"activity_id"`
	ActivityName string       `json:"activity_name" parquet:"activity_name,optional"`
	Actor        rowActor     `json:"actor" parquet:"actor"`
	CategoryName string       `json:"category_name" parquet:"category_name,optional"`
	CategoryUID  int32        `json:"category_uid" parquet:"category_uid"`
	ClassName    string       `json:"class_name" parquet:"class_name,optional"`
	ClassUID     int32        `json:"class_uid" parquet:"class_uid"`
	HTTPRequest  *rowRequest  `json:"http_request,omitempty" parquet:"http_request,optional"`
	Message      string       `json:"message" parquet:"message,optional"`
	Metadata     rowMetadata  `json:"metadata" parquet:"metadata"`
	Severity     string       `json:"severity" parquet:"severity,optional"`
	SeverityID   int32        `json:"severity_id" parquet:"severity_id"`
	SrcEndpoint  *rowEndpoint `json:"src_endpoint,omitempty" parquet:"src_endpoint,optional"`
	Status       string       `json:"status" parquet:"status,optional"`
	StatusCode   string       `json:"status_code,omitempty" parquet:"status_code,optional"`
	StatusDetail string       `json:"status_detail,omitempty" parquet:"status_detail,optional"`
	StatusID     int32        `json:"status_id" parquet:"status_id,optional"`
	Time         int64        `json:"time" parquet:"time"`
	TypeName     string       `json:"type_name" parquet:"type_name,optional"`
	TypeUID      int64        `json:"type_uid" parquet:"type_uid"`
	Unmapped     jsonText     `json:"unmapped,omitempty" parquet:"unmapped,optional"`
}

type (
	rowActor struct {
		User rowUser `json:"user" parquet:"user"`
	}
	rowUser struct {
		EmailAddr string `json:"email_addr,omitempty" parquet:"email_addr,optional"`
		Name      string `json:"name,omitempty" parquet:"name,optional"`
		Type      string `json:"type,omitempty" parquet:"type,optional"`
		TypeID    int32  `json:"type_id" parquet:"type_id"`
		UID       string `json:"uid,omitempty" parquet:"uid,optional"`
	}
	rowEntity struct {
		Name   string `json:"name,omitempty" parquet:"name,optional"`
		Type   string `json:"type,omitempty" parquet:"type,optional"`
		TypeID int32  `json:"type_id" parquet:"type_id"`
		UID    string `json:"uid,omitempty" parquet:"uid,optional"`
	}
	rowGroup struct {
		Name string `json:"name,omitempty" parquet:"name,optional"`
		Type string `json:"type,omitempty" parquet:"type,optional"`
		UID  string `json:"uid,omitempty" parquet:"uid,optional"`
	}
	rowRequest struct {
		UserAgent string `json:"user_agent" parquet:"user_agent,optional"`
	}
	rowEndpoint struct {
		IP string `json:"ip" parquet:"ip,optional"`
	}
	rowService struct {
		Name string `json:"name" parquet:"name,optional"`
	}
	rowSession struct {
		UID string `json:"uid" parquet:"uid,optional"`
	}
	rowMetadata struct {
		EventCode    string     `json:"event_code" parquet:"event_code,optional"`
		OriginalTime string     `json:"original_time" parquet:"original_time,optional"`
		Product      rowProduct `json:"product" parquet:"product"`
		Sequence     int64      `json:"sequence,omitempty" parquet:"sequence,optional"`
		TenantUID    string     `json:"tenant_uid,omitempty" parquet:"tenant_uid,optional"`
		UID          string     `json:"uid,omitempty" parquet:"uid,optional"`
		Version      string     `json:"version" parquet:"version"`
	}
	rowProduct struct {
		Name       string `json:"name" parquet:"name,optional"`
		VendorName string `json:"vendor_name" parquet:"vendor_name,optional"`
	}
)

// The classes, each with what it has beside the common columns.
type (
	accountChange struct {
		row
		User *rowUser `json:"user,omitempty" parquet:"user,optional"`
	}
	authentication struct {
		row
		Service *rowService `json:"service,omitempty" parquet:"service,optional"`
		Session *rowSession `json:"session,omitempty" parquet:"session,optional"`
		User    *rowUser    `json:"user,omitempty" parquet:"user,optional"`
	}
	entityManagement struct {
		row
		Entity *rowEntity `json:"entity,omitempty" parquet:"entity,optional"`
	}
	userAccess struct {
		row
		Privileges []string `json:"privileges,omitempty" parquet:"privileges,list"`
		User       *rowUser `json:"user,omitempty" parquet:"user,optional"`
	}
	groupManagement struct {
		row
		Group *rowGroup `json:"group,omitempty" parquet:"group,optional"`
		User  *rowUser  `json:"user,omitempty" parquet:"user,optional"`
	}
)

// jsonText is a part of an event as it was written.
type jsonText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *jsonText) UnmarshalJSON(data []byte) error {
	*t = jsonText(data)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (t jsonText) MarshalJSON() ([]byte, error) { return []byte(t), nil }

// classOf reads the class of an event; 0 if it is none in OCSF.
func classOf(value []byte) int {
	var e struct {
		ClassUID int `json:"class_uid"`
	}
	if json.Unmarshal(value, &e) != nil {
		return 0
	}
	return e.ClassUID
}

// readRow decodes one event. A member that has no column is an error: it would be lost.
func readRow[T any](value []byte) (T, error) {
	var r T
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("the event is no row of its table: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("the event is more than one JSON value")
	}
	return r, nil
}

package hec

import (
	"encoding/json"
	"net/http"
)

// code is a status code of the collector's own, beside that of HTTP.
type code int

const (
	codeSuccess        code = 0
	codeDisabled       code = 1
	codeNoToken        code = 2
	codeNoScheme       code = 3
	codeInvalidToken   code = 4
	codeNoData         code = 5
	codeInvalidData    code = 6
	codeIncorrectIndex code = 7
	codeInternal       code = 8
	codeNoChannel      code = 10
	codeInvalidChannel code = 11
	codeNoEvent        code = 12
	codeBlankEvent     code = 13
	codeAckDisabled    code = 14
	codeFields         code = 15
	codeQueryToken     code = 16
	codeHealthy        code = 17
)

// meaning is a code's text and HTTP status, as Splunk documents them.
func (c code) meaning() (text string, status int) {
	switch c {
	case codeSuccess:
		return "Success", http.StatusOK
	case codeDisabled:
		return "Token disabled", http.StatusForbidden
	case codeNoToken:
		return "Token is required", http.StatusUnauthorized
	case codeNoScheme:
		return "Invalid authorization", http.StatusUnauthorized
	case codeInvalidToken:
		return "Invalid token", http.StatusForbidden
	case codeNoData:
		return "No data", http.StatusBadRequest
	case codeInvalidData:
		return "Invalid data format", http.StatusBadRequest
	case codeIncorrectIndex:
		return "Incorrect index", http.StatusBadRequest
	case codeInternal:
		return "Internal server error", http.StatusInternalServerError
	case codeNoChannel:
		return "Data channel is missing", http.StatusBadRequest
	case codeInvalidChannel:
		return "Invalid data channel", http.StatusBadRequest
	case codeNoEvent:
		return "Event field is required", http.StatusBadRequest
	case codeBlankEvent:
		return "Event field cannot be blank", http.StatusBadRequest
	case codeAckDisabled:
		return "ACK is disabled", http.StatusBadRequest
	case codeFields:
		return "Error in handling indexed fields", http.StatusBadRequest
	case codeQueryToken:
		return "Query string authorization is not enabled", http.StatusBadRequest
	case codeHealthy:
		return "HEC is healthy", http.StatusOK
	}
	return "Internal server error", http.StatusInternalServerError
}

// answer is the JSON that the collector answers.
type answer struct {
	Text   string `json:"text"`
	Code   code   `json:"code"`
	Number *int   `json:"invalid-event-number,omitempty"`
	AckID  *int64 `json:"ackId,omitempty"`
}

func write(w http.ResponseWriter, a answer) {
	text, status := a.Code.meaning()
	a.Text = text
	writeJSON(w, status, a)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and maps of them always encode
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left gets no answer
}

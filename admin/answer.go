package admin

import (
	"net/http"
	"time"
)

// writeTimeout bounds how long a caller takes to read what is written at once.
const writeTimeout = 30 * time.Second

// answer is an answer under way: what of it is logged, and a deadline for each part of it.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	bytes   int64
	route   string
	caller  string
	err     error
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where there is none, a test writes into memory
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Package admin is the control plane: what people ask about streams and do to them, whoever
// delivers. [Service] says what there is. internal/app implements it on Kafka alone, package
// admin/client over HTTP; the HTTP server, the console and the commands are written against
// the interface, and do not know which of the two they have.
//
// A Service is as mighty as its process. What a caller's role and organizations allow is
// decided in one place in front of it, for the HTTP server and the console alike.
package admin

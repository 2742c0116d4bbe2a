package client

import (
	"encoding/json"
	"fmt"
)

// MaxBody is the largest answer that is read, in bytes: 64 MiB.
const MaxBody = 64 << 20

// Reply is the answer of a server: the JSON envelope of API 2 (PROTOCOL.md
// 0.4), opened, and the body it came from.
type Reply struct {
	// HTTP is the status of the answer.
	HTTP int
	// Code and Status are the envelope's; Status falls back to the detail of
	// an errors list (PROTOCOL.md 1.2). 0 and "" if there is no envelope.
	Code   int
	Status string
	// Results are as received, with the order of keys kept; nil if absent.
	Results json.RawMessage
	// Body is the whole body as received; empty with HTTP 204.
	Body []byte
}

// String tells the status and the size, not the content, which may hold a
// share of a key.
func (r *Reply) String() string {
	if r == nil {
		return "no answer"
	}
	return fmt.Sprintf("HTTP %d, %d bytes", r.HTTP, len(r.Body))
}

// GoString is String, so that %#v does not show the content either.
func (r *Reply) GoString() string { return r.String() }

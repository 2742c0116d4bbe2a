package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// MaxBody is the largest answer that is read, in bytes: 64 MiB.
const MaxBody = 64 << 20

// Reply is the answer of a server: the JSON envelope of API 2 (PROTOCOL.md
// 0.4), opened, and the body it came from.
type Reply struct {
	// HTTP is the status of the answer, Header what came with it.
	HTTP   int
	Header http.Header
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

// bodyTooLarge is a body of more than MaxBody bytes.
type bodyTooLarge struct{}

func (*bodyTooLarge) Error() string {
	return fmt.Sprintf("the answer is longer than %d MiB", MaxBody>>20)
}

// readBody reads the body of an answer, at most MaxBody bytes.
func readBody(response *http.Response) ([]byte, error) {
	// What a server announces is believed up to here only.
	const believed = 1 << 20
	var b bytes.Buffer
	if n := response.ContentLength; n > 0 {
		b.Grow(int(min(n, believed)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(response.Body, MaxBody+1))
	if n > MaxBody {
		return b.Bytes(), &bodyTooLarge{}
	}
	return b.Bytes(), err
}

// open judges an answer by its status, and fills in what is in its envelope.
func (c *Client) open(a attempt, reply *Reply) *Error {
	if reply.HTTP == http.StatusNoContent {
		if a.call.Into != nil {
			return c.unreadable(a, reply, errors.New("the answer is empty"))
		}
		return nil
	}
	err := parseEnvelope(reply)
	if reply.HTTP < 200 || reply.HTTP > 299 {
		// An envelope would be nice, but is not needed to tell what happened.
		return c.refuse(a, reply.HTTP, reply)
	}
	if a.call.Document {
		return c.openDocument(a, reply)
	}
	if err != nil {
		return c.unreadable(a, reply, err)
	}
	if reply.Code < 200 || reply.Code > 299 {
		// A server that says no in the body has not done what was asked.
		return c.refuse(a, reply.Code, reply)
	}
	if a.call.Into == nil {
		return nil
	}
	if len(reply.Results) == 0 || string(reply.Results) == "null" {
		return c.unreadable(a, reply, errors.New("the answer has no results"))
	}
	if raw, ok := a.call.Into.(*json.RawMessage); ok {
		*raw = reply.Results // as it is; the list of a large fleet is megabytes
		return nil
	}
	if err := json.Unmarshal(reply.Results, a.call.Into); err != nil {
		return c.unreadable(a, reply, jsonError("the results", reply.Results, err))
	}
	return nil
}

// openDocument reads a good answer that has no envelope.
func (c *Client) openDocument(a attempt, reply *Reply) *Error {
	if a.call.Into == nil {
		return nil
	}
	if err := json.Unmarshal(reply.Body, a.call.Into); err != nil {
		return c.unreadable(a, reply, jsonError("the answer", reply.Body, err))
	}
	return nil
}

// parseEnvelope fills Code, Status and Results from the body. It wants an
// object with a number "code" and, if there, a string "status".
func parseEnvelope(reply *Reply) error {
	var envelope struct {
		Code    *int            `json:"code"`
		Status  string          `json:"status"`
		Results json.RawMessage `json:"results"`
		Errors  []struct {
			Title  string `json:"title"`
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	err := json.Unmarshal(reply.Body, &envelope)
	reply.Status, reply.Results = envelope.Status, envelope.Results
	if reply.Status == "" && len(envelope.Errors) > 0 {
		if reply.Status = envelope.Errors[0].Detail; reply.Status == "" {
			reply.Status = envelope.Errors[0].Title
		}
	}
	if envelope.Code != nil {
		reply.Code = *envelope.Code
	}
	switch {
	case err != nil:
		return jsonError("the answer", reply.Body, err)
	case envelope.Code == nil:
		return errors.New(`the answer is JSON, but not of Keylime: there is no "code"`)
	}
	return nil
}

// jsonError says in what way a text is not the JSON that was expected, without
// repeating more of it than its beginning.
func jsonError(what string, text []byte, err error) error {
	const shown = 40
	var types *json.UnmarshalTypeError
	switch trimmed := bytes.TrimSpace(text); {
	case len(trimmed) == 0:
		return &because{what + " has no content", err}
	case errors.As(err, &types) && types.Field != "":
		return &because{fmt.Sprintf("%s: %s is a %s, which is not expected there", what, quoted(types.Field), jsonKind(types.Value)), err}
	case errors.As(err, &types):
		return &because{fmt.Sprintf("%s: a JSON %s, which is not expected", what, jsonKind(types.Value)), err}
	case trimmed[0] != '{' && trimmed[0] != '[':
		return &because{fmt.Sprintf("%s is not JSON, it begins with %s", what, quoted(string(trimmed[:min(len(trimmed), shown)]))), err}
	}
	return &because{what + " is not JSON: " + tidy(err.Error()), err}
}

// jsonKind is the kind of a value without the number that encoding/json adds.
func jsonKind(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	return tidy(kind)
}

func (c *Client) unreadable(a attempt, reply *Reply, cause error) *Error {
	return &Error{Server: c.server, Method: a.call.Method, Path: a.path, HTTP: reply.HTTP, Reply: reply, Kind: Unreadable, Err: cause}
}

// Unreadable makes the error for a good answer whose content is not what the
// endpoint promises; it is for the packages of the endpoints.
func (c *Client) Unreadable(call Call, reply *Reply, cause error) error {
	path := call.Path
	if !call.NoVersion {
		path = "/v" + c.Version().String() + path
	}
	return c.unreadable(attempt{call: &call, path: path}, reply, cause)
}

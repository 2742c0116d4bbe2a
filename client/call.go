package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

// Call is one request.
type Call struct {
	Method string
	// Path is escaped and begins with a slash, without the version prefix.
	Path  string
	Query url.Values
	// Body is sent as it is if it is a []byte, otherwise as JSON; nil sends
	// none.
	Body any
	// ContentType of the body; empty means application/json.
	ContentType string
	// NoVersion leaves the version prefix out.
	NoVersion bool
	// Into takes the results of a good answer, as encoding/json does; nil
	// leaves them alone. Results that do not fit, or null, are Unreadable.
	Into any
	// Document says that a good answer is a JSON document of its own, without
	// the envelope of API 2: Into takes it as a whole.
	Document bool
	// Bearer is the token by which the caller is known instead of by a
	// certificate; empty for none.
	Bearer Password
}

// Do sends a request and opens the answer. The reply is not nil when a whole
// answer came, also beside an error. Every error is an *[Error], but for a
// call that cannot be sent at all.
//
// A connection that failed in [Client.Negotiate] is not tried again by the
// first call after it: the call reports that failure.
func (c *Client) Do(ctx context.Context, call Call) (*Reply, error) {
	if kept := c.takeKept(); kept != nil {
		return nil, kept
	}
	return c.do(ctx, call)
}

func (c *Client) takeKept() *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.kept
	c.kept = nil
	return kept
}

func (c *Client) do(ctx context.Context, call Call) (*Reply, error) {
	started := time.Now()
	request, sent, err := c.request(call)
	if err != nil {
		return nil, err
	}
	a := attempt{call: &call, path: request.URL.EscapedPath(), sent: sent}
	reply, received, failure := c.exchange(ctx, request, a)
	if c.config.Trace != nil {
		c.trace(request, sent, received, time.Since(started), reply, failure)
	}
	if failure != nil {
		return reply, failure
	}
	return reply, nil
}

// exchange is the part of a call that the time limit is for.
func (c *Client) exchange(ctx context.Context, request *http.Request, a attempt) (*Reply, int64, *Error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Not a deadline: dialers see deadlines and fail before the cause is known.
	defer time.AfterFunc(c.timeout, func() { cancel(errLimit) }).Stop()
	defer context.AfterFunc(c.life, func() { cancel(errClosed) })()
	if c.life.Err() != nil {
		cancel(errClosed)
		return nil, 0, c.fail(ctx, a, errClosed)
	}
	traced := httptrace.WithClientTrace(context.WithValue(ctx, callKey{}, ctx), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			a.link, _ = info.Conn.(*link)
			a.reused = info.Reused
		},
	})
	response, err := c.transport.RoundTrip(request.WithContext(traced))
	if err != nil {
		return nil, 0, c.fail(ctx, a, err)
	}
	defer func() { _ = response.Body.Close() }()
	return c.receive(ctx, a, response)
}

// receive reads the whole body and opens it.
func (c *Client) receive(ctx context.Context, a attempt, response *http.Response) (*Reply, int64, *Error) {
	body, err := readBody(response)
	received := int64(len(body))
	unreadable := func(cause error) *Error {
		return &Error{Server: c.server, Method: a.call.Method, Path: a.path, HTTP: response.StatusCode, Kind: Unreadable, Err: cause}
	}
	var tooLarge *bodyTooLarge
	switch {
	case errors.As(err, &tooLarge):
		return nil, received, unreadable(err)
	case err != nil:
		e := unreadable(&because{fmt.Sprintf("the answer is cut short after %d bytes", received), err})
		c.gaveUp(ctx, a, e, err)
		return nil, received, e
	}
	reply := &Reply{HTTP: response.StatusCode, Header: response.Header, Body: body}
	if err := c.open(a, reply); err != nil {
		return reply, received, err
	}
	return reply, received, nil
}

// request builds the request of a call, and tells the length of its body.
func (c *Client) request(call Call) (*http.Request, int64, error) {
	var body []byte
	switch content := call.Body.(type) {
	case nil:
	case []byte:
		body = content
	default:
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(content); err != nil {
			return nil, 0, fmt.Errorf("encoding the body for %s %s: %w", call.Method, printable(call.Path), err)
		}
		body = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	prefix := ""
	if !call.NoVersion {
		prefix = "/v" + c.Version().String()
	}
	path, err := url.PathUnescape(prefix + call.Path)
	if err != nil {
		return nil, 0, fmt.Errorf("the path %s of a call to the %s: %w", quoted(call.Path), c.config.Name, err)
	}
	target := url.URL{Scheme: "https", Host: c.addr, Path: path, RawPath: prefix + call.Path, RawQuery: call.Query.Encode()}
	if c.config.TLS == nil {
		target.Scheme = "http"
	}
	request := &http.Request{
		Method: call.Method, URL: &target, Host: c.addr, Header: http.Header{"User-Agent": {"keylime-tenant"}, "Accept": {"*/*"}},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if call.Bearer != "" {
		request.Header.Set("Authorization", "Bearer "+string(call.Bearer))
	}
	if call.Body != nil {
		request.ContentLength = int64(len(body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
		if len(body) == 0 {
			request.Body, request.GetBody = http.NoBody, nil
		}
		request.Header.Set("Content-Type", "application/json")
		if call.ContentType != "" {
			request.Header.Set("Content-Type", call.ContentType)
		}
	}
	return request, request.ContentLength, nil
}

func (c *Client) trace(request *http.Request, sent, received int64, took time.Duration, reply *Reply, failure *Error) {
	t := Trace{Server: c.server, Method: request.Method, URL: request.URL.String(), Sent: sent, Received: received, Duration: took}
	if reply != nil {
		t.HTTP = reply.HTTP
	}
	if failure != nil {
		bare := *failure
		bare.Reply = nil
		t.Kind, t.Err = failure.Kind, &bare
		t.HTTP = failure.HTTP
	}
	c.config.Trace(t)
}

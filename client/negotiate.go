package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Negotiate asks the server for its versions, once, and fixes the newest
// common one for the calls that follow (PROTOCOL.md 2.3).
//
// A server that does not tell is no error: the outcome is a Fallback to
// [Current], or with an old registrar to what it is found to speak, and its Err
// says why. Registrar and verifier are given that even when they cannot be
// reached or trusted; the next call then reports that failure. An agent is not:
// there it is an error. A caller that gives up gets an *[Error] of kind Canceled
// or TimedOut, and no common version is a *[NoCommonVersionError].
//
// Failed connections are not remembered: the next call of Negotiate asks again.
func (c *Client) Negotiate(ctx context.Context) (Negotiation, error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		call := Call{Method: http.MethodGet, Path: versionPath}
		return Negotiation{}, c.fail(ctx, attempt{call: &call, path: versionPath}, ctx.Err())
	}
	c.mu.Lock()
	done := c.negotiated
	c.mu.Unlock()
	if done != nil {
		return *done, nil
	}
	return c.negotiate(ctx)
}

const versionPath = "/version"

func (c *Client) negotiate(ctx context.Context) (Negotiation, error) {
	theirs, err := c.versions(ctx)
	if err != nil {
		return c.fallBack(ctx, err)
	}
	ours := Supported()
	for _, v := range slices.Backward(ours) {
		if slices.Contains(theirs, v) {
			return c.settle(Negotiation{Version: v, Ours: ours, Theirs: theirs}), nil
		}
	}
	return Negotiation{}, &NoCommonVersionError{Server: c.server, Ours: ours, Theirs: theirs}
}

// fallBack decides what a failed question for versions means.
func (c *Client) fallBack(ctx context.Context, err error) (Negotiation, error) {
	var failure *Error
	if !errors.As(err, &failure) || ctx.Err() != nil || failure.Kind == Canceled {
		return Negotiation{}, err
	}
	n := Negotiation{Version: Current(), Ours: Supported(), Fallback: true, Gone: failure.HTTP == http.StatusGone, Err: err}
	switch failure.Kind {
	case Unreachable, TimedOut, ServerUntrusted, ClientRefused:
		if c.config.Name == AgentName {
			return Negotiation{}, err
		}
		c.mu.Lock()
		c.version, c.kept = n.Version, failure
		c.mu.Unlock()
		return n, nil
	}
	if c.config.Name == RegistrarName && unknownVersion(failure) {
		n.Version = c.probe(ctx)
	}
	return c.settle(n), nil
}

// unknownVersion says that a server refuses a call for its version.
func unknownVersion(failure *Error) bool {
	return failure.HTTP == http.StatusBadRequest && failure.Reply != nil && strings.EqualFold(failure.Reply.Status, "API version not supported")
}

// probe finds out which version a registrar speaks that does not tell: before
// 7.10 there is no GET /version on its TLS port, and what is newer than itself
// it refuses. It is asked for an agent, which need not be there, in one version
// after the other, the newest first.
func (c *Client) probe(ctx context.Context) Version {
	for _, v := range slices.Backward(Supported()) {
		_, err := c.do(ctx, Call{Method: http.MethodGet, Path: "/v" + v.String() + "/agents/none", NoVersion: true})
		var failure *Error
		if !errors.As(err, &failure) || !unknownVersion(failure) {
			return v
		}
	}
	return Current()
}

func (c *Client) settle(n Negotiation) Negotiation {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version, c.negotiated = n.Version, &n
	return n
}

// versions asks for the versions that the server speaks, oldest first. What is
// not a version is passed over.
func (c *Client) versions(ctx context.Context) ([]Version, error) {
	var results struct {
		List json.RawMessage `json:"supported_versions"`
		One  string          `json:"supported_version"`
	}
	call := Call{Method: http.MethodGet, Path: versionPath, NoVersion: true, Into: &results}
	reply, err := c.do(ctx, call)
	if err != nil {
		return nil, err
	}
	texts := []string{results.One}
	if len(results.List) > 0 && string(results.List) != "null" {
		if err := json.Unmarshal(results.List, &texts); err != nil {
			// A string counts as a list of one (PROTOCOL.md 2.3).
			texts = make([]string, 1)
			if err := json.Unmarshal(results.List, &texts[0]); err != nil {
				return nil, c.Unreadable(call, reply, fmt.Errorf("supported_versions is not a list of versions"))
			}
		}
	}
	var versions []Version
	for _, text := range texts {
		if v, err := ParseVersion(text); err == nil {
			versions = append(versions, v)
		}
	}
	if len(versions) == 0 {
		return nil, c.Unreadable(call, reply, errors.New("the results name no version"))
	}
	slices.SortFunc(versions, Version.Compare)
	return slices.Compact(versions), nil
}

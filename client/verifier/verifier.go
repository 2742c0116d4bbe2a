// Package verifier is the client of a Keylime verifier, API 2.0 to 2.6
// (PROTOCOL.md section 4): agents and the policies stored under a name; and of
// what a verifier in push mode serves of API 3.0 (2.4): attestations, for an
// administrator, and sessions and evidence, for the lab's agent. Its wire types
// serve the lab's verifier too.
//
// The verifier is trusted; nothing of its answers is checked here but their
// shape.
package verifier

import (
	"context"
	"net/http"
	"net/url"

	"github.com/keylime/keylime-tenant/client"
)

// Client talks to one verifier.
type Client struct{ transport *client.Client }

// New makes a verifier's client of a connection, which the caller closes.
func New(transport *client.Client) *Client { return &Client{transport} }

// Add places an agent under attestation. An agent or policy that exists
// already is a *[client.Error] of kind Conflict, a policy name that is unknown
// one of kind NotFound. A verifier [Before23] is given the measured-boot policy
// under the key it knows.
func (c *Client) Add(ctx context.Context, id string, request AddRequest) (*client.Reply, error) {
	call := client.Call{Method: http.MethodPost, Path: agentPath(id), Body: request}
	if Before23(c.transport.Version()) {
		call.Body = oldAddRequest{request, request.MBPolicy}
	}
	return c.transport.Do(ctx, call)
}

// oldAddRequest is the body for a verifier before API 2.3, which misses the key
// mb_refstate and passes over those that it does not know.
type oldAddRequest struct {
	AddRequest
	MBRefstate *string `json:"mb_refstate"`
}

// Before23 says that a version of the API is older than 2.3, as of Keylime 6.x to
// 7.10. Their verifiers store no measured-boot policies under names, want the
// policy as mb_refstate, and give V to every agent, so that each must have one.
func Before23(v client.Version) bool { return v.Compare(client.Version{Major: 2, Minor: 3}) < 0 }

// Delete ends the attestation of an agent. Pending says that the verifier has
// accepted it (202) but not done it yet. An unknown agent is a *[client.Error]
// of kind NotFound.
func (c *Client) Delete(ctx context.Context, id string) (pending bool, reply *client.Reply, err error) {
	reply, err = c.transport.Do(ctx, client.Call{Method: http.MethodDelete, Path: agentPath(id)})
	return err == nil && reply.HTTP == http.StatusAccepted, reply, err
}

// Stop ends the polling of an agent, whose record stays. An unknown agent is
// a *[client.Error] of kind Refused, HTTP 400 (PROTOCOL.md 4.5).
func (c *Client) Stop(ctx context.Context, id string) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPut, Path: agentPath(id) + "/stop"})
}

// Reactivate starts the polling of an agent anew. An unknown agent is a
// *[client.Error] of kind Refused, HTTP 400. After [Client.Stop] the verifier
// of upstream says yes and does nothing (PROTOCOL.md 4.5).
func (c *Client) Reactivate(ctx context.Context, id string) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPut, Path: agentPath(id) + "/reactivate"})
}

func agentPath(id string) string { return "/agents/" + url.PathEscape(id) }

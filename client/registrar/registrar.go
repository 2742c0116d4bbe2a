// Package registrar is the client of a Keylime registrar, API 2.0 to 2.6
// (PROTOCOL.md section 3): the verbs of a tenant, and those of an agent that
// registers itself. Its wire types serve the lab's registrar too.
//
// The registrar is trusted for what it says about an agent; nothing of a
// record is checked here but its shape.
package registrar

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/keylime/keylime-tenant/client"
)

// Client talks to one registrar.
type Client struct{ transport *client.Client }

// New makes a registrar's client of a connection, which the caller closes.
func New(transport *client.Client) *Client { return &Client{transport} }

// Agent is the record of an agent.
type Agent struct {
	// ID is the id that was asked for.
	ID string
	Record
	// Raw are the results as received, with the order of keys kept.
	Raw json.RawMessage
}

// Agents lists the ids of all agents, also of those not yet activated. Errors
// are *[client.Error].
func (c *Client) Agents(ctx context.Context) ([]string, *client.Reply, error) {
	var list struct {
		UUIDs *[]string `json:"uuids"`
	}
	call := client.Call{Method: http.MethodGet, Path: "/agents/", Into: &list}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	if list.UUIDs == nil {
		return nil, reply, c.transport.Unreadable(call, reply, fmt.Errorf("the results have no list \"uuids\""))
	}
	return *list.UUIDs, reply, nil
}

// Agent reads the record of an active agent. One that is unknown or not yet
// activated is a *[client.Error] of kind NotFound.
func (c *Client) Agent(ctx context.Context, id string) (*Agent, *client.Reply, error) {
	agent := &Agent{ID: id}
	call := client.Call{Method: http.MethodGet, Path: agentPath(id), Into: &agent.Record}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(reply.Results, &keys); err != nil {
		return nil, reply, c.transport.Unreadable(call, reply, err)
	}
	for _, key := range required() {
		if _, ok := keys[key]; !ok {
			return nil, reply, c.transport.Unreadable(call, reply, fmt.Errorf("the record has no %q", key))
		}
	}
	agent.Raw = reply.Results
	return agent, reply, nil
}

// Delete removes the record of an agent. An unknown agent is a *[client.Error]
// of kind NotFound.
func (c *Client) Delete(ctx context.Context, id string) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodDelete, Path: agentPath(id)})
}

// Register announces an agent and returns the challenge that only its TPM can
// solve (PROTOCOL.md 3.5), decoded.
func (c *Client) Register(ctx context.Context, id string, request RegisterRequest) ([]byte, *client.Reply, error) {
	var result RegisterResult
	call := client.Call{Method: http.MethodPost, Path: agentPath(id), Body: request, Into: &result}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	blob, err := base64.StdEncoding.DecodeString(result.Blob)
	if err != nil || len(blob) == 0 {
		return nil, reply, c.transport.Unreadable(call, reply, fmt.Errorf("the challenge is not base64"))
	}
	return blob, reply, nil
}

// Activate proves that the agent's TPM has solved the challenge.
func (c *Client) Activate(ctx context.Context, id, authTagHex string) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPut, Path: agentPath(id), Body: ActivateRequest{AuthTag: authTagHex}})
}

func agentPath(id string) string { return "/agents/" + url.PathEscape(id) }

package verifier

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/keylime/keylime-tenant/client"
)

// RuntimePolicy is a runtime policy as the verifier keeps it.
type RuntimePolicy struct {
	RuntimePolicyRecord
	// Raw are the results as received, with the order of keys kept.
	Raw json.RawMessage
}

// MBPolicy is a measured-boot policy as the verifier keeps it.
type MBPolicy struct {
	MBPolicyRecord
	// Raw are the results as received, with the order of keys kept.
	Raw json.RawMessage
}

const (
	runtimePolicies = "/allowlists/"
	mbPolicies      = "/mbpolicies/"
)

// RuntimePolicies lists the names of the stored runtime policies.
func (c *Client) RuntimePolicies(ctx context.Context) ([]string, *client.Reply, error) {
	return c.names(ctx, runtimePolicies, "runtimepolicy names")
}

// RuntimePolicy reads a stored runtime policy. An unknown name is a
// *[client.Error] of kind NotFound.
func (c *Client) RuntimePolicy(ctx context.Context, name string) (*RuntimePolicy, *client.Reply, error) {
	policy := &RuntimePolicy{}
	reply, err := c.read(ctx, runtimePolicies+url.PathEscape(name), "runtime_policy", &policy.RuntimePolicyRecord)
	if err != nil {
		return nil, reply, err
	}
	policy.Raw = reply.Results
	return policy, reply, nil
}

// AddRuntimePolicy stores a runtime policy under a name. A name that exists is
// a *[client.Error] of kind Conflict; a policy the verifier does not like is of
// kind Refused, HTTP 400, or 500 with an empty body (PROTOCOL.md 4.6).
func (c *Client) AddRuntimePolicy(ctx context.Context, name string, request RuntimePolicyRequest) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPost, Path: runtimePolicies + url.PathEscape(name), Body: request})
}

// UpdateRuntimePolicy replaces a stored runtime policy. An unknown name is a
// *[client.Error] of kind NotFound.
func (c *Client) UpdateRuntimePolicy(ctx context.Context, name string, request RuntimePolicyRequest) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPut, Path: runtimePolicies + url.PathEscape(name), Body: request})
}

// DeleteRuntimePolicy removes a stored runtime policy; the reply is HTTP 204
// without a body. An unknown name is a *[client.Error] of kind NotFound; one in
// use by an agent of kind Conflict, by several agents of kind Refused, HTTP 500
// (PROTOCOL.md 4.6).
func (c *Client) DeleteRuntimePolicy(ctx context.Context, name string) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodDelete, Path: runtimePolicies + url.PathEscape(name)})
}

// MBPolicies lists the names of the stored measured-boot policies.
func (c *Client) MBPolicies(ctx context.Context) ([]string, *client.Reply, error) {
	return c.names(ctx, mbPolicies, "mbpolicy names")
}

// MBPolicy reads a stored measured-boot policy. An unknown name is a
// *[client.Error] of kind NotFound.
func (c *Client) MBPolicy(ctx context.Context, name string) (*MBPolicy, *client.Reply, error) {
	policy := &MBPolicy{}
	reply, err := c.read(ctx, mbPolicies+url.PathEscape(name), "mb_policy", &policy.MBPolicyRecord)
	if err != nil {
		return nil, reply, err
	}
	policy.Raw = reply.Results
	return policy, reply, nil
}

// AddMBPolicy stores a measured-boot policy under a name. A name that exists
// is a *[client.Error] of kind Conflict.
func (c *Client) AddMBPolicy(ctx context.Context, name string, request MBPolicyRequest) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPost, Path: mbPolicies + url.PathEscape(name), Body: request})
}

// UpdateMBPolicy replaces a stored measured-boot policy. An unknown name is a
// *[client.Error] of kind Conflict, not NotFound (PROTOCOL.md 4.7).
func (c *Client) UpdateMBPolicy(ctx context.Context, name string, request MBPolicyRequest) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPut, Path: mbPolicies + url.PathEscape(name), Body: request})
}

// DeleteMBPolicy removes a stored measured-boot policy; the reply is HTTP 204
// without a body. An unknown name is a *[client.Error] of kind NotFound, one in
// use of kind Conflict.
func (c *Client) DeleteMBPolicy(ctx context.Context, name string) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodDelete, Path: mbPolicies + url.PathEscape(name)})
}

// names reads a list of names under a key of the results.
func (c *Client) names(ctx context.Context, path, key string) ([]string, *client.Reply, error) {
	var lists map[string]json.RawMessage
	call := client.Call{Method: http.MethodGet, Path: path, Into: &lists}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	var names []string
	if err := json.Unmarshal(lists[key], &names); err != nil || names == nil {
		return nil, reply, c.transport.Unreadable(call, reply, fmt.Errorf("the results have no list of names %q", key))
	}
	return names, reply, nil
}

// read reads a stored policy, which must have the key named.
func (c *Client) read(ctx context.Context, path, key string, into any) (*client.Reply, error) {
	call := client.Call{Method: http.MethodGet, Path: path, Into: into}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return reply, err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(reply.Results, &keys); err != nil || keys[key] == nil {
		return reply, c.transport.Unreadable(call, reply, fmt.Errorf("the results have no %q", key))
	}
	return reply, nil
}

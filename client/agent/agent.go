// Package agent is the client of a Keylime agent, API 2.0 to 2.6 (PROTOCOL.md
// section 5): the calls of a tenant and those of a verifier. Its wire types
// serve the lab's agent too.
//
// An agent is not trusted: what it answers is only read here, to be verified
// elsewhere (tenant/quote) before anything secret leaves for it.
package agent

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keylime/keylime-tenant/client"
)

// Client talks to one agent.
type Client struct{ transport *client.Client }

// New makes an agent's client of a connection, which the caller closes.
func New(transport *client.Client) *Client { return &Client{transport} }

// IdentityQuote asks for a quote over PCR 16 with our nonce (letters and digits
// only). An answer without quote or transport key is a *[client.Error] of kind
// Unreadable.
func (c *Client) IdentityQuote(ctx context.Context, nonce string) (*Quote, *client.Reply, error) {
	quote := &Quote{}
	call := client.Call{Method: http.MethodGet, Path: "/quotes/identity", Query: url.Values{"nonce": {nonce}}, Into: quote}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	if quote.Quote == "" || quote.PubKeyPEM == "" {
		return nil, reply, c.transport.Unreadable(call, reply, errors.New("the results lack quote or pubkey"))
	}
	return quote, reply, nil
}

// IntegrityRequest is the query of an integrity quote.
type IntegrityRequest struct {
	// Nonce is letters and digits only.
	Nonce string
	// Mask says which PCRs, besides 16, as hex: "0x400".
	Mask string
	// Partial leaves the transport key out.
	Partial bool
	// IMAEntry is the first line of the IMA list wanted, from 0.
	IMAEntry int
}

// Query is the request as a query.
func (r IntegrityRequest) Query() url.Values {
	partial := "0"
	if r.Partial {
		partial = "1"
	}
	return url.Values{"nonce": {r.Nonce}, "mask": {r.Mask}, "partial": {partial}, "ima_ml_entry": {strconv.Itoa(r.IMAEntry)}}
}

// IntegrityQuote asks for a quote over the PCRs of a mask, with boot log and
// IMA list. An answer without a quote is a *[client.Error] of kind Unreadable.
func (c *Client) IntegrityQuote(ctx context.Context, request IntegrityRequest) (*IntegrityQuote, *client.Reply, error) {
	quote := &IntegrityQuote{}
	call := client.Call{Method: http.MethodGet, Path: "/quotes/integrity", Query: request.Query(), Into: quote}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	if quote.Quote.Quote == "" {
		return nil, reply, c.transport.Unreadable(call, reply, errors.New("the results lack a quote"))
	}
	return quote, reply, nil
}

// PostU gives the agent U and, if there is one, the payload.
func (c *Client) PostU(ctx context.Context, request UKeyRequest) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPost, Path: "/keys/ukey", Body: request})
}

// PostV gives the agent V, sealed to its transport key and in base64.
func (c *Client) PostV(ctx context.Context, encryptedKeyB64 string) (*client.Reply, error) {
	return c.transport.Do(ctx, client.Call{Method: http.MethodPost, Path: "/keys/vkey", Body: VKeyRequest{EncryptedKey: encryptedKeyB64}})
}

// VerifyKey asks for the HMAC over a challenge (letters and digits only) under
// K. An agent that has no key yet is a *[client.Error] of kind Refused, HTTP
// 400.
func (c *Client) VerifyKey(ctx context.Context, challenge string) (hmacHex string, reply *client.Reply, err error) {
	var result VerifyResult
	call := client.Call{Method: http.MethodGet, Path: "/keys/verify", Query: url.Values{"challenge": {challenge}}, Into: &result}
	if reply, err = c.transport.Do(ctx, call); err != nil {
		return "", reply, err
	}
	if result.HMAC == "" {
		return "", reply, c.transport.Unreadable(call, reply, errors.New("the results lack hmac"))
	}
	return result.HMAC, reply, nil
}

// PubKey asks for the transport key. It is not bound to anything: only a
// verified quote says that it is the agent's.
func (c *Client) PubKey(ctx context.Context) (keyPEM string, reply *client.Reply, err error) {
	var result PubKeyResult
	call := client.Call{Method: http.MethodGet, Path: "/keys/pubkey", Into: &result}
	if reply, err = c.transport.Do(ctx, call); err != nil {
		return "", reply, err
	}
	if result.PubKeyPEM == "" {
		return "", reply, c.transport.Unreadable(call, reply, errors.New("the results lack pubkey"))
	}
	return result.PubKeyPEM, reply, nil
}

// Info asks the agent for its id and algorithms (API 2.2 and later).
func (c *Client) Info(ctx context.Context) (*Info, *client.Reply, error) {
	info := &Info{}
	reply, err := c.transport.Do(ctx, client.Call{Method: http.MethodGet, Path: "/agent/info", Into: info})
	if err != nil {
		return nil, reply, err
	}
	return info, reply, nil
}

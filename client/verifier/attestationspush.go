package verifier

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/keylime/keylime-tenant/client"
)

// Session is a session of an agent of the push model.
type Session struct {
	ID string
	SessionRecord
}

// ErrNotProved: the verifier does not take the proof for one of the AK that the
// agent is enrolled with, or has not enrolled the agent. It does not say which.
var ErrNotProved = errors.New("the verifier has not accepted the proof that this agent possesses its AK, or has not enrolled it")

// OpenSession asks for the challenge of a session, also for an agent that nobody
// has enrolled. Challenge is what the proof is to hold. Errors: *[client.Error],
// with HTTP 429 for one that asks too often ([RetryAfter]).
func (c *Client) OpenSession(ctx context.Context, id string) (s *Session, challenge []byte, err error) {
	call := client.Call{Method: http.MethodPost, Path: "/v" + VersionPush + "/sessions", NoVersion: true}
	s, reply, err := c.session(ctx, call, "", SessionRequest{AgentID: id,
		Supported: []Authentication{{Class: AuthenticationClass, Type: AuthenticationType}}})
	if err != nil {
		return nil, nil, err
	}
	if len(s.Requested) == 0 || s.Requested[0].Chosen == nil || s.ID == "" {
		return nil, nil, c.transport.Unreadable(call, reply, errors.New("the session has no challenge"))
	}
	challenge, err = base64.StdEncoding.DecodeString(s.Requested[0].Chosen.Challenge)
	if err != nil || len(challenge) == 0 {
		return nil, nil, c.transport.Unreadable(call, reply, errors.New("the challenge of the session is not base64"))
	}
	return s, challenge, nil
}

// ProveSession gives the proof: the TPMS_ATTEST of TPM2_Certify, in which the AK
// vouches for itself with the challenge as qualifying data, and its
// TPMT_SIGNATURE. The session returned has a token. Errors: [ErrNotProved];
// *[client.Error], of kind NotFound for a session that is over.
func (c *Client) ProveSession(ctx context.Context, session, id string, attest, signature []byte) (*Session, error) {
	call := client.Call{Method: http.MethodPatch, Path: "/v" + VersionPush + "/sessions/" + url.PathEscape(session), NoVersion: true}
	s, reply, err := c.session(ctx, call, session, SessionRequest{AgentID: id, Provided: []Authentication{{Class: AuthenticationClass, Type: AuthenticationType,
		Data: &EvidenceData{Message: base64.StdEncoding.EncodeToString(attest), Signature: base64.StdEncoding.EncodeToString(signature)}}}})
	switch {
	case client.KindOf(err) == client.Unauthorized:
		return nil, fmt.Errorf("%w: %w", ErrNotProved, err)
	case err != nil:
		return nil, err
	case s.Evaluation == EvaluationFail:
		return nil, ErrNotProved
	case s.Token == "" || s.Evaluation != EvaluationPass:
		return nil, c.transport.Unreadable(call, reply, errors.New("the session has no token"))
	}
	return s, nil
}

func (c *Client) session(ctx context.Context, call client.Call, id string, request SessionRequest) (*Session, *client.Reply, error) {
	s := &Session{}
	body, reply, err := c.exchange(ctx, call, ResourceSession, id, request, &s.SessionRecord)
	if err != nil {
		return nil, reply, err
	}
	s.ID = body.Data.ID
	return s, reply, nil
}

// Begin begins an attestation: what the agent can show, against what it is to
// show ([AttestationRecord.Requested]). Errors: *[client.Error] with HTTP 401 or
// 403 for a token that counts no longer, 429 and 503 for an agent that is too
// early ([RetryAfter]), 404 for one that is not enrolled, 409 for two at once,
// 422 for capabilities that do not do.
func (c *Client) Begin(ctx context.Context, id string, token Token, offer Offer) (*Attestation, error) {
	call := attestationCall(http.MethodPost, id, "")
	call.Bearer = client.Password(token)
	a := &Attestation{}
	body, _, err := c.exchange(ctx, call, ResourceAttestation, "", offer, &a.AttestationRecord)
	if err != nil {
		return nil, err
	}
	a.Index, a.Raw = body.Data.index(), body.Data.Attributes
	return a, nil
}

// Show shows what was asked for in the attestation of a number, [Latest] for the
// newest. next is how long the verifier wants to hear nothing. Errors as of
// [Client.Begin], and 403 for evidence that came too late or for the second
// time.
func (c *Client) Show(ctx context.Context, id string, token Token, index int, items []Evidence) (a *Attestation, next time.Duration, err error) {
	which := "/latest"
	if index >= 0 {
		which = "/" + strconv.Itoa(index)
	}
	call := attestationCall(http.MethodPatch, id, which)
	call.Bearer = client.Password(token)
	a = &Attestation{}
	body, _, err := c.exchange(ctx, call, ResourceAttestation, "", Collected{items}, &a.AttestationRecord)
	if err != nil {
		return nil, 0, err
	}
	a.Index, a.Raw = body.Data.index(), body.Data.Attributes
	if seconds, ok := body.Meta["seconds_to_next_attestation"].(float64); ok && seconds > 0 {
		next = time.Duration(min(seconds, 1<<30) * float64(time.Second))
	}
	return a, next, nil
}

// exchange sends one resource and reads one.
func (c *Client) exchange(ctx context.Context, call client.Call, kind, id string, attributes, into any) (*Body, *client.Reply, error) {
	request, err := NewBody(kind, id, attributes)
	if err != nil {
		return nil, nil, err
	}
	answer := &Body{}
	call.Body, call.ContentType, call.Document, call.Into = request, MediaType, true, answer
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	if err := answer.Read(kind, into); err != nil {
		return nil, reply, c.transport.Unreadable(call, reply, err)
	}
	return answer, reply, nil
}

// RetryAfter is how long a server that has refused a call wants to be left
// alone; 0 if it does not say.
func RetryAfter(err error) time.Duration {
	var e *client.Error
	if !errors.As(err, &e) || e.Reply == nil {
		return 0
	}
	seconds, err := strconv.Atoi(e.Reply.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 1<<30)) * time.Second
}

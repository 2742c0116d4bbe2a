package verifier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/client"
)

// Attestation is one attestation of an agent of the push model, as a verifier
// in push mode tells it to an administrator. Nothing in it is verified here.
type Attestation struct {
	// Index numbers the attestations of an agent, from 0; -1 if the verifier does
	// not say.
	Index int
	AttestationRecord
	// Raw is the resource as received.
	Raw json.RawMessage
}

// Latest is the number by which [Client.Attestation] is asked for the newest
// one.
const Latest = -1

// ErrNoAttestations: the verifier serves attestations, and has none of this
// agent.
var ErrNoAttestations = errors.New("the verifier has no attestation of this agent")

// ErrNoPush: the server has no attestations to show: it polls its agents itself,
// or is older than API 3.
var ErrNoPush = errors.New("the verifier serves no attestations: it is not in push mode, or older than API 3")

// ErrNoList: the verifier has several attestations of this agent, and cannot
// list them: a fault of 7.14.3, which gives none of them an id. One by one it
// tells them.
var ErrNoList = errors.New("the verifier cannot list several attestations of one agent (a fault of Keylime 7.14.3)")

// Attestations are all attestations of an agent that the verifier still has, the
// oldest first: every failed one, and of those that passed the first of each
// boot and the last two (PROTOCOL.md 2.4). Errors: [ErrNoAttestations];
// [ErrNoList]; [ErrNoPush]; *[client.Error], of kind NotFound for an agent that
// is not enrolled, of kind Unauthorized for a caller who is no administrator.
//
// 7.14.3 answers HTTP 500, without a word, to the question for no attestation
// and to that for several. [Client.Attestation] is asked which it is.
func (c *Client) Attestations(ctx context.Context, id string) ([]Attestation, error) {
	var list struct {
		Data resources `json:"data"`
	}
	call := attestationCall(http.MethodGet, id, "")
	call.Into = &list
	reply, err := c.transport.Do(ctx, call)
	var refused *client.Error
	if errors.As(err, &refused) && refused.HTTP == http.StatusInternalServerError {
		if _, latest := c.Attestation(ctx, id, Latest); errors.Is(latest, ErrNoAttestations) {
			return nil, latest
		}
		return nil, fmt.Errorf("%w: %w", ErrNoList, err)
	}
	if err != nil {
		return nil, noAttestations(err)
	}
	if list.Data == nil {
		return nil, c.transport.Unreadable(call, reply, errNoData)
	}
	all := make([]Attestation, 0, len(list.Data))
	for i, text := range list.Data {
		a, err := decodeAttestation(text)
		if err != nil {
			return nil, c.transport.Unreadable(call, reply, fmt.Errorf("item %d: %w", i, err))
		}
		all = append(all, *a)
	}
	if len(all) == 0 {
		return nil, ErrNoAttestations
	}
	slices.SortStableFunc(all, func(a, b Attestation) int { return a.Index - b.Index })
	return all, nil
}

// resources are the objects of a document; one alone comes without brackets.
type resources []json.RawMessage

// UnmarshalJSON reads a list or an object.
func (r *resources) UnmarshalJSON(text []byte) error {
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] == '{' {
		*r = resources{bytes.Clone(text)}
		return nil
	}
	return json.Unmarshal(text, (*[]json.RawMessage)(r))
}

// Attestation is one attestation of an agent, the newest for [Latest]. Errors as
// of [Client.Attestations]; one that the verifier no longer has is a
// *[client.Error] of kind NotFound.
func (c *Client) Attestation(ctx context.Context, id string, index int) (*Attestation, error) {
	which := "/latest"
	if index >= 0 {
		which = "/" + strconv.Itoa(index)
	}
	var body struct {
		Data json.RawMessage `json:"data"`
	}
	call := attestationCall(http.MethodGet, id, which)
	call.Into = &body
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, noAttestations(err)
	}
	a, err := decodeAttestation(body.Data)
	if err != nil {
		return nil, c.transport.Unreadable(call, reply, err)
	}
	return a, nil
}

func attestationCall(method, id, below string) client.Call {
	return client.Call{Method: method, Path: "/v" + VersionPush + agentPath(id) + "/attestations" + below, NoVersion: true, Document: true}
}

// decodeAttestation reads one resource.
func decodeAttestation(raw json.RawMessage) (*Attestation, error) {
	if len(raw) == 0 {
		return nil, errNoData
	}
	var resource Resource
	if err := json.Unmarshal(raw, &resource); err != nil {
		return nil, fmt.Errorf("the resource: %w", err)
	}
	a := &Attestation{Index: resource.index(), Raw: raw}
	if err := (&Body{Data: &resource}).Read(ResourceAttestation, &a.AttestationRecord); err != nil {
		return nil, err
	}
	return a, nil
}

// noAttestations sorts out the refusals that say that there is nothing to show:
// a verifier in push mode names what it does not find, one of another kind knows
// no such path.
func noAttestations(err error) error {
	var e *client.Error
	if !errors.As(err, &e) || e.Reply == nil {
		return err
	}
	named := strings.Contains(string(e.Reply.Body), `"errors"`)
	switch said := e.Reply.Status; {
	case e.HTTP == http.StatusNotFound && strings.HasPrefix(said, "No attestation exists"):
		return fmt.Errorf("%w: %w", ErrNoAttestations, err)
	case e.HTTP == http.StatusNotFound && !named, e.HTTP == http.StatusMethodNotAllowed, e.HTTP == http.StatusBadRequest,
		e.HTTP == http.StatusGone, e.HTTP == http.StatusNotImplemented:
		return fmt.Errorf("%w: %w", ErrNoPush, err)
	}
	return err
}

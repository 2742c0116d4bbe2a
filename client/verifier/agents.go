package verifier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/keylime/keylime-tenant/client"
)

// Agent is the record of an agent.
type Agent struct {
	// ID is the id that was asked for, or the key of a bulk answer.
	ID string
	Record
	// State is the record's operational_state.
	State State
	// Raw is the record as received, with the order of keys kept. It holds V
	// in clear.
	Raw json.RawMessage
}

// String names the agent and its state, and nothing secret.
func (a Agent) String() string { return fmt.Sprintf("agent %s (%s)", a.ID, a.State) }

// GoString is String, so that %#v does not show the record.
func (a Agent) GoString() string { return a.String() }

// Agent reads the record of an agent. An unknown one is a *[client.Error] of
// kind NotFound.
func (c *Client) Agent(ctx context.Context, id string) (*Agent, *client.Reply, error) {
	var raw json.RawMessage
	call := client.Call{Method: http.MethodGet, Path: agentPath(id), Into: &raw}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	agent, err := decodeAgent(id, raw)
	if err != nil {
		return nil, reply, c.transport.Unreadable(call, reply, err)
	}
	return &agent, reply, nil
}

// Agents lists the ids of the agents of one verifier, of all with verifierID
// "".
func (c *Client) Agents(ctx context.Context, verifierID string) ([]string, *client.Reply, error) {
	var list struct {
		UUIDs *[]json.RawMessage `json:"uuids"`
	}
	call := client.Call{Method: http.MethodGet, Path: "/agents/", Query: url.Values{"verifier": {verifierID}}, Into: &list}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	if list.UUIDs == nil {
		return nil, reply, c.transport.Unreadable(call, reply, errors.New(`the results have no list "uuids"`))
	}
	ids := make([]string, 0, len(*list.UUIDs))
	for _, raw := range *list.UUIDs {
		id, err := decodeID(raw)
		if err != nil {
			return nil, reply, c.transport.Unreadable(call, reply, err)
		}
		ids = append(ids, id)
	}
	return ids, reply, nil
}

// Bulk reads the records of all agents of one verifier, of all with verifierID
// "", in the order of the answer.
func (c *Client) Bulk(ctx context.Context, verifierID string) ([]Agent, *client.Reply, error) {
	var raw json.RawMessage
	call := client.Call{Method: http.MethodGet, Path: "/agents/", Query: url.Values{"bulk": {"True"}, "verifier": {verifierID}}, Into: &raw}
	reply, err := c.transport.Do(ctx, call)
	if err != nil {
		return nil, reply, err
	}
	agents, err := decodeBulk(raw)
	if err != nil {
		return nil, reply, c.transport.Unreadable(call, reply, err)
	}
	return agents, reply, nil
}

// decodeAgent reads one record. Without an operational_state it is none: so
// the answer to another question cannot pass for it.
func decodeAgent(id string, raw json.RawMessage) (Agent, error) {
	agent := Agent{ID: id, Raw: raw, Record: Record{OperationalState: absent}}
	if err := json.Unmarshal(raw, &agent.Record); err != nil {
		return Agent{}, fmt.Errorf("the record of agent %q: %w", id, err)
	}
	if agent.OperationalState == absent {
		return Agent{}, fmt.Errorf("the record of agent %q has no operational_state", id)
	}
	agent.State = agent.OperationalState
	return agent, nil
}

// decodeBulk reads an object of records by id. The records stay where they are
// in raw: copies of ten thousand would double what a fleet costs.
func decodeBulk(raw json.RawMessage) ([]Agent, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("the results are not an object of records")
	}
	agents := []Agent{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		id, ok := token.(string)
		if !ok {
			return nil, errors.New("the results are not an object of records")
		}
		var record json.RawMessage
		if err := decoder.Decode(&record); err != nil {
			return nil, err
		}
		end := int(decoder.InputOffset())
		agent, err := decodeAgent(id, raw[end-len(record):end:end])
		if err != nil {
			return nil, err
		}
		agents = append(agents, agent)
	}
	return agents, nil
}

// decodeID reads an entry of "uuids": ["id"] with a real verifier, "id" with
// one that lists as a registrar does.
func decodeID(raw json.RawMessage) (string, error) {
	var nested []string
	if err := json.Unmarshal(raw, &nested); err == nil && len(nested) > 0 {
		return nested[0], nil
	}
	var flat *string
	if err := json.Unmarshal(raw, &flat); err == nil && flat != nil {
		return *flat, nil
	}
	return "", errors.New(`an entry of "uuids" is not an id`)
}

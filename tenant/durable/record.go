package durable

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// Attestation is the record of an attestation: what the verifier was about to
// judge, and by what. Nothing in it has been verified.
type Attestation struct {
	// Stamp is the time as the verifier has written it: its local time, without
	// a zone.
	Stamp string
	// AgentID is the agent that the record says it is about.
	AgentID string
	// VerifierID, VerifierIP and VerifierPort are the verifier.
	VerifierID, VerifierIP string
	VerifierPort           int
	// AK is the TPM2B_PUBLIC that the quote is verified with.
	AK []byte
	// Nonce is what the agent was asked with, PublicKey the transport key that
	// an earlier quote has bound, TPMPolicy the text of tpm_policy, Keyring
	// ima_sign_verification_keys.
	Nonce, PublicKey, TPMPolicy, Keyring string
	// AcceptHash, AcceptEnc and AcceptSign are never nil.
	AcceptHash, AcceptEnc, AcceptSign []string
	// Version is the version of the agent's API.
	Version string
	// Count is the number of quotes that were accepted before.
	Count int
	// Clock is that of the last quote that was accepted, nil if there is none.
	Clock *quote.Clock
	// Answer is what the agent has sent.
	Answer agent.IntegrityQuote
	// RuntimePolicy and MBPolicy are the texts of the policies, nil for none.
	RuntimePolicy, MBPolicy *string
	// MBPolicyName is the name of the rules that judged the boot, "" if the
	// record does not tell.
	MBPolicyName string
	// Signature is the verifier's, nil if there is none.
	Signature *Signature
}

// Registration is the record of a registration.
type Registration struct {
	Stamp string
	// AgentID is "" where signed_attributes leaves it out.
	AgentID string
	// AK is a TPM2B_PUBLIC.
	AK []byte
	// Active says whether the agent has shown that AK and EK are in one TPM;
	// nil where the record does not tell.
	Active    *bool
	Signature *Signature
}

// IncompleteError is a record that lacks what judging it needs.
type IncompleteError struct{ Missing []string }

func (e *IncompleteError) Error() string {
	return "the record lacks " + strings.Join(e.Missing, ", ")
}

// members are the members of a JSON object by their exact names; of several of
// one name the last counts, as in Python.
type members map[string]json.RawMessage

// object reads a member that has to be an object.
func (m members) object(name string) (members, error) {
	var o members
	if m[name] == nil {
		return nil, &IncompleteError{Missing: []string{name}}
	}
	if err := json.Unmarshal(m[name], &o); err != nil || o == nil {
		return nil, &DamageError{Cause: name + " is not an object"}
	}
	return o, nil
}

// reader reads members and remembers what was missing or wrong.
type reader struct {
	members
	missing []string
	wrong   error
}

// get reads a member that may be missing or null.
func (r *reader) get(name string, into any) (there bool) {
	raw := r.members[name]
	if raw == nil || string(raw) == "null" {
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil && r.wrong == nil {
		r.wrong = &DamageError{Cause: name + " is not of the kind it should be"}
	}
	return true
}

// need reads a member that must be there, and not null.
func (r *reader) need(name string, into any) {
	if !r.get(name, into) {
		r.missing = append(r.missing, name)
	}
}

// key reads a member that is base64.
func (r *reader) key(name string) (key []byte) {
	var text string
	r.need(name, &text)
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil && r.wrong == nil {
		r.wrong = &DamageError{Cause: name + " is not base64"}
	}
	return key
}

func (r *reader) err() error {
	if r.wrong != nil {
		return r.wrong
	}
	if r.missing != nil {
		return &IncompleteError{Missing: r.missing}
	}
	return nil
}

// open reads the frame of a record.
func open(data []byte) (record, attributes members, err error) {
	if err := json.Unmarshal(data, &record); err != nil {
		return nil, nil, &DamageError{Cause: "the record is not a JSON object"}
	}
	attributes, err = record.object("agent")
	return record, attributes, err
}

// ParseAttestation reads the record of an attestation. With an
// *[IncompleteError] the rest is there. Other error: *[DamageError].
func ParseAttestation(data []byte) (*Attestation, error) {
	record, attributes, err := open(data)
	if err != nil {
		return nil, err
	}
	a := &Attestation{}
	r := &reader{members: attributes}
	r.need("agent_id", &a.AgentID)
	a.AK = r.key("ak_tpm")
	r.need("nonce", &a.Nonce)
	r.need("tpm_policy", &a.TPMPolicy)
	r.need("accept_tpm_hash_algs", &a.AcceptHash)
	r.need("accept_tpm_encryption_algs", &a.AcceptEnc)
	r.need("accept_tpm_signing_algs", &a.AcceptSign)
	r.need("supported_version", &a.Version)
	if _, told := attributes["ima_sign_verification_keys"]; !told {
		r.missing = append(r.missing, "ima_sign_verification_keys")
	}
	r.get("ima_sign_verification_keys", &a.Keyring)
	r.get("public_key", &a.PublicKey)
	r.get("attestation_count", &a.Count)
	r.get("verifier_id", &a.VerifierID)
	r.get("verifier_ip", &a.VerifierIP)
	r.get("verifier_port", &a.VerifierPort)
	a.Clock = readClock(r)

	whole := &reader{members: record}
	whole.get("verifier_timestamp", &a.Stamp)
	whole.get("mb_policy_name", &a.MBPolicyName)
	whole.get("mb_policy", &a.MBPolicy)
	whole.get("runtime_policy", &a.RuntimePolicy)
	response, err := record.object("json_response")
	if err == nil {
		answer := &reader{members: response}
		answer.need("results", &a.Answer)
		err = answer.err()
	}
	var signatureErr error
	a.Signature, signatureErr = readSignature(record)
	return a, firstOf(r.wrong, whole.wrong, err, signatureErr, r.err())
}

// firstOf is the gravest error: what is damaged before what is missing.
func firstOf(errs ...error) error {
	var first error
	for _, err := range errs {
		var incomplete *IncompleteError
		if err != nil && !errors.As(err, &incomplete) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// readClock reads tpm_clockinfo.
func readClock(r *reader) *quote.Clock {
	var wire struct {
		Clock        uint64 `json:"clock"`
		ResetCount   uint32 `json:"resetCount"`
		RestartCount uint32 `json:"restartCount"`
		Safe         *int   `json:"safe"`
	}
	if !r.get("tpm_clockinfo", &wire) || wire.Clock == 0 && wire.ResetCount == 0 && wire.RestartCount == 0 {
		return nil
	}
	return &quote.Clock{Clock: wire.Clock, ResetCount: wire.ResetCount, RestartCount: wire.RestartCount, Safe: wire.Safe == nil || *wire.Safe == 1}
}

// ParseRegistration reads the record of a registration. Errors: *[DamageError],
// *[IncompleteError].
func ParseRegistration(data []byte) (*Registration, error) {
	record, attributes, err := open(data)
	if err != nil {
		return nil, err
	}
	g := &Registration{}
	r := &reader{members: attributes}
	g.AK = r.key("aik_tpm")
	r.get("agent_id", &g.AgentID)
	var active any
	if r.get("active", &active) {
		on, err := truth(active)
		if err != nil {
			return nil, err
		}
		g.Active = &on
	}
	whole := &reader{members: record}
	whole.get("registrar_timestamp", &g.Stamp)
	g.Signature, err = readSignature(record)
	return g, firstOf(r.wrong, whole.wrong, err, r.err())
}

// truth reads a flag, which may be true or 1.
func truth(value any) (bool, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case float64:
		return v != 0, nil
	}
	return false, &DamageError{Cause: fmt.Sprintf("active is a %T, and not true or false", value)}
}

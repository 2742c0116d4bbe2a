package tenant

import (
	"encoding/json"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// Registered is the word of the Python tenant for an agent that the registrar
// holds. It is derived, not sent (TENANT-CLI.md E20).
const Registered = "Registered"

// RegistrarAgent is the registrar's record of an agent.
type RegistrarAgent struct {
	ID       string  `json:"agent_id"`
	AKTPM    string  `json:"aik_tpm"`
	EKTPM    string  `json:"ek_tpm"`
	EKCert   *string `json:"ekcert"`
	MTLSCert *string `json:"mtls_cert"`
	IP       *string `json:"ip"`
	Port     *int    `json:"port"`
	RegCount int     `json:"regcount"`
	// ProviderKeys is of old "virtual" records only.
	ProviderKeys json.RawMessage `json:"provider_keys,omitempty"`
	// State is always [Registered].
	State string `json:"operational_state"`
	// Record is the record as the client has read it.
	Record *registrar.Agent `json:"-"`
}

func registrarAgent(a *registrar.Agent) *RegistrarAgent {
	return &RegistrarAgent{
		ID: a.ID, AKTPM: a.AIKTPM, EKTPM: a.EKTPM, EKCert: a.EKCert, MTLSCert: a.MTLSCert, IP: a.IP, Port: a.Port,
		RegCount: a.RegCount, ProviderKeys: a.ProviderKeys, State: Registered, Record: a,
	}
}

// VerifierAgent is the verifier's record of an agent, without V.
type VerifierAgent struct {
	ID string `json:"agent_id"`
	// State is the verifier's word, "" for an agent of the push model.
	State string `json:"operational_state,omitempty"`
	// Health is our word, Reason why it is so; see [Judge].
	Health Health `json:"health"`
	Reason string `json:"reason"`
	// Push says that it attests of its own accord. State then says nothing but
	// whether it was stopped.
	Push              bool   `json:"push_model"`
	AttestationStatus string `json:"attestation_status,omitempty"`
	AttestationCount  int    `json:"attestation_count"`
	// LastReceivedQuote and LastSuccessfulAttestation are seconds since 1970, 0
	// before the first.
	LastReceivedQuote         int64  `json:"last_received_quote"`
	LastSuccessfulAttestation int64  `json:"last_successful_attestation"`
	AttestationPeriod         string `json:"attestation_period,omitempty"`
	MaxAttestationInterval    string `json:"maximum_attestation_interval,omitempty"`
	SeverityLevel             *int   `json:"severity_level"`
	// LastEventID is the id of the last failure, LastEvent says it in words.
	LastEventID *string `json:"last_event_id"`
	LastEvent   string  `json:"last_event,omitempty"`
	IP          *string `json:"ip"`
	Port        *int    `json:"port"`
	TPMPolicy   string  `json:"tpm_policy"`
	MetaData    string  `json:"meta_data"`
	// HasRuntimePolicy and HasMBRefstate are 0 or 1, as the verifier says it.
	HasRuntimePolicy int      `json:"has_runtime_policy"`
	HasMBRefstate    int      `json:"has_mb_refstate"`
	AcceptHash       []string `json:"accept_tpm_hash_algs"`
	AcceptEnc        []string `json:"accept_tpm_encryption_algs"`
	AcceptSign       []string `json:"accept_tpm_signing_algs"`
	HashAlg          string   `json:"hash_alg"`
	EncAlg           string   `json:"enc_alg"`
	SignAlg          string   `json:"sign_alg"`
	VerifierID       string   `json:"verifier_id"`
	VerifierIP       string   `json:"verifier_ip"`
	VerifierPort     int      `json:"verifier_port"`
	// Record is the record as the client has read it. It holds V.
	Record *verifier.Agent `json:"-"`
}

func verifierAgent(a *verifier.Agent, now time.Time) *VerifierAgent {
	v := &VerifierAgent{
		ID: a.ID, State: a.State.String(), Push: push(a), AttestationStatus: a.AttestationStatus,
		AttestationCount: a.AttestationCount, LastReceivedQuote: a.LastReceivedQuote, LastSuccessfulAttestation: a.LastSuccessfulAttestation,
		AttestationPeriod: a.AttestationPeriod, MaxAttestationInterval: a.MaximumAttestationInterval,
		SeverityLevel: a.SeverityLevel, LastEventID: a.LastEventID, IP: a.IP, Port: a.Port, TPMPolicy: a.TPMPolicy, MetaData: a.MetaData,
		HasRuntimePolicy: a.HasRuntimePolicy, HasMBRefstate: a.HasMBRefstate,
		AcceptHash: a.AcceptTPMHashAlgs, AcceptEnc: a.AcceptTPMEncryptionAlgs, AcceptSign: a.AcceptTPMSigningAlgs,
		HashAlg: a.HashAlg, EncAlg: a.EncAlg, SignAlg: a.SignAlg,
		VerifierID: a.VerifierID, VerifierIP: a.VerifierIP, VerifierPort: int(a.VerifierPort), Record: a,
	}
	v.Health, v.Reason = Judge(a, now, 0)
	v.LastEvent = DescribeEvent(eventID(a))
	return v
}

// eventID is the id of the last failure, "" if there is none.
func eventID(a *verifier.Agent) string {
	if a.LastEventID == nil {
		return ""
	}
	return *a.LastEventID
}

// AgentList is a list of agents of one server.
type AgentList struct {
	IDs   []string      `json:"uuids"`
	Reply *client.Reply `json:"-"`
}

// BulkResult are the verifier's records of all agents.
type BulkResult struct {
	Agents []*VerifierAgent `json:"agents"`
	Reply  *client.Reply    `json:"-"`
}

// StatusResult is what both servers say about an agent; Verifier is nil for an
// agent that is registered but not enrolled.
type StatusResult struct {
	ID        string          `json:"agent_id"`
	Registrar *RegistrarAgent `json:"registrar"`
	Verifier  *VerifierAgent  `json:"verifier"`
}

// DeleteResult is the outcome of ending the attestation of an agent.
type DeleteResult struct {
	ID string `json:"agent_id"`
	// Absent says that there was nothing to delete.
	Absent bool `json:"absent"`
	// Tries is how often the verifier was asked until the agent was gone; 0
	// when it was deleted at once.
	Tries int `json:"tries,omitempty"`
}

// RegistrarDeleteResult is the outcome of deleting an agent from the registrar.
type RegistrarDeleteResult struct {
	ID    string        `json:"agent_id"`
	Reply *client.Reply `json:"-"`
}

// SwitchResult is the outcome of stopping or reactivating an agent.
type SwitchResult struct {
	ID string `json:"agent_id"`
	// Before is the verifier's word for its state before; "" if it was not
	// asked, and in the push model.
	Before string `json:"previous_state,omitempty"`
	// Push says that the agent attests of its own accord: the switch does less
	// then. BeforeStatus is the verifier's attestation_status before, "" if it
	// was not asked.
	Push         bool   `json:"push_model,omitempty"`
	BeforeStatus string `json:"previous_attestation_status,omitempty"`
}

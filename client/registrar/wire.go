package registrar

import (
	"encoding/json"

	"github.com/keylime/keylime-tenant/client"
)

// Disabled is the value of mtls_cert of an agent that speaks plain HTTP
// (PROTOCOL.md 1.6).
const Disabled = "disabled"

// AgentList is the result of GET /v2.x/agents (PROTOCOL.md 3.2): a flat list,
// in which agents not yet activated appear too.
type AgentList struct {
	UUIDs []string `json:"uuids"`
}

// Record is the result of GET /v2.x/agents/:id (PROTOCOL.md 3.2), in the order
// of the registrar.
type Record struct {
	AgentID string `json:"agent_id"`
	// EKTPM and AIKTPM are base64 of a TPM2B_PUBLIC.
	EKTPM string `json:"ek_tpm"`
	// EKCert is base64 of a DER certificate; nil if the agent gave none.
	EKCert *string `json:"ekcert"`
	AIKTPM string  `json:"aik_tpm"`
	// MTLSCert is a PEM certificate, [Disabled], or nil.
	MTLSCert *string `json:"mtls_cert"`
	// IP and Port are where the agent says it can be reached; nil if unknown.
	IP   *string `json:"ip"`
	Port *int    `json:"port"`
	// RegCount is how often the agent has been registered.
	RegCount int `json:"regcount"`
	// ProviderKeys is of old "virtual" records only.
	ProviderKeys json.RawMessage `json:"provider_keys,omitempty"`
}

// required are the keys without which a record is none; null passes
// (PROTOCOL.md 3.2).
func required() []string { return []string{"aik_tpm", "regcount", "ek_tpm", "ip", "port"} }

// RegisterRequest is the body of POST /v2.x/agents/:id (PROTOCOL.md 3.3), by
// which an agent registers. Keys and certificates are base64 of TPM2B_PUBLIC
// and of DER, certificates alternatively PEM.
type RegisterRequest struct {
	EKTPM  string  `json:"ek_tpm,omitempty"`
	EKCert *string `json:"ekcert"`
	AIKTPM string  `json:"aik_tpm"`
	// The keys of a device identity, and what binds the AIK to it; all empty
	// without one.
	IAKTPM     string  `json:"iak_tpm,omitempty"`
	IAKCert    *string `json:"iak_cert"`
	IDevIDTPM  string  `json:"idevid_tpm,omitempty"`
	IDevIDCert *string `json:"idevid_cert"`
	IAKAttest  string  `json:"iak_attest,omitempty"`
	IAKSign    string  `json:"iak_sign,omitempty"`
	MTLSCert   *string `json:"mtls_cert"`
	IP         *string `json:"ip"`
	Port       *Port   `json:"port"`
	AgentID    string  `json:"agent_id,omitempty"`
}

// Port is a port that may arrive as a number or as a numeric string.
type Port int

// UnmarshalJSON reads a number or a numeric string.
func (p *Port) UnmarshalJSON(text []byte) error {
	n, err := client.ParsePort(text)
	*p = Port(n)
	return err
}

// RegisterResult is the result of registering: base64 of the challenge of
// PROTOCOL.md 3.5.
type RegisterResult struct {
	Blob string `json:"blob"`
}

// ActivateRequest is the body of PUT /v2.x/agents/:id (PROTOCOL.md 3.6).
type ActivateRequest struct {
	// AuthTag is the hex HMAC-SHA384 over the agent id under the 44 characters
	// of the challenge in base64.
	AuthTag string `json:"auth_tag"`
}

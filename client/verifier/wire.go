package verifier

import (
	"fmt"

	"github.com/keylime/keylime-tenant/client"
)

// KeyShare is V, one of the two shares of a payload key, in base64. It prints
// as [redacted]; as JSON it is plain, since the verifier needs it.
type KeyShare string

// Format prints [redacted], whatever the verb.
func (KeyShare) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// PrivateKeyPEM is a private key. It prints as [redacted]; as JSON it is plain,
// since the verifier needs it.
type PrivateKeyPEM string

// Format prints [redacted], whatever the verb.
func (PrivateKeyPEM) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Port is a port that may arrive as a number or as a numeric string.
type Port int

// UnmarshalJSON reads a number or a numeric string.
func (p *Port) UnmarshalJSON(text []byte) error {
	n, err := client.ParsePort(text)
	*p = Port(n)
	return err
}

// AddRequest is the body of POST /v2.x/agents/:id (PROTOCOL.md 4.1), in the
// tenant's order. The three accept lists must not be nil.
type AddRequest struct {
	// V is nil without a payload.
	V *KeyShare `json:"v"`
	// CloudagentIP and CloudagentPort are where the verifier polls the agent.
	CloudagentIP   *string `json:"cloudagent_ip"`
	CloudagentPort *Port   `json:"cloudagent_port"`
	VerifierIP     string  `json:"verifier_ip"`
	VerifierPort   Port    `json:"verifier_port"`
	// TPMPolicy is JSON with a "mask" in it.
	TPMPolicy string `json:"tpm_policy"`
	// RuntimePolicy and RuntimePolicyKey are base64 of files, "" for none.
	RuntimePolicy     string `json:"runtime_policy"`
	RuntimePolicyName string `json:"runtime_policy_name"`
	RuntimePolicyKey  string `json:"runtime_policy_key"`
	// MBPolicy is JSON; nil for none.
	MBPolicy     *string `json:"mb_policy"`
	MBPolicyName string  `json:"mb_policy_name"`
	// IMASignVerificationKeys is a JSON keyring, "" for none.
	IMASignVerificationKeys string `json:"ima_sign_verification_keys"`
	// Metadata is JSON: "{}" or the certificate of a payload.
	Metadata                string        `json:"metadata"`
	RevocationKey           PrivateKeyPEM `json:"revocation_key"`
	AcceptTPMHashAlgs       []string      `json:"accept_tpm_hash_algs"`
	AcceptTPMEncryptionAlgs []string      `json:"accept_tpm_encryption_algs"`
	AcceptTPMSigningAlgs    []string      `json:"accept_tpm_signing_algs"`
	// AKTPM is base64 of a TPM2B_PUBLIC.
	AKTPM string `json:"ak_tpm"`
	// MTLSCert is a PEM certificate, "disabled", or nil.
	MTLSCert         *string `json:"mtls_cert"`
	SupportedVersion string  `json:"supported_version"`
}

// Record is the result of GET /v2.x/agents/:id (PROTOCOL.md 4.2), in the order
// of the verifier. Marshalled it holds V in clear.
type Record struct {
	OperationalState State `json:"operational_state"`
	// V is the share of the payload key; nil without a payload.
	V *KeyShare `json:"v"`
	// IP and Port are where the verifier polls the agent; nil in push mode.
	IP   *string `json:"ip"`
	Port *int    `json:"port"`
	// TPMPolicy and MetaData are JSON, as posted.
	TPMPolicy string `json:"tpm_policy"`
	MetaData  string `json:"meta_data"`
	// HasMBRefstate and HasRuntimePolicy are 0 or 1.
	HasMBRefstate           int      `json:"has_mb_refstate"`
	HasRuntimePolicy        int      `json:"has_runtime_policy"`
	AcceptTPMHashAlgs       []string `json:"accept_tpm_hash_algs"`
	AcceptTPMEncryptionAlgs []string `json:"accept_tpm_encryption_algs"`
	AcceptTPMSigningAlgs    []string `json:"accept_tpm_signing_algs"`
	// HashAlg, EncAlg and SignAlg are those of the last quote, "" before.
	HashAlg      string `json:"hash_alg"`
	EncAlg       string `json:"enc_alg"`
	SignAlg      string `json:"sign_alg"`
	VerifierID   string `json:"verifier_id"`
	VerifierIP   string `json:"verifier_ip"`
	VerifierPort Port   `json:"verifier_port"`
	// SeverityLevel and LastEventID are of the last failure, nil before.
	SeverityLevel *int    `json:"severity_level"`
	LastEventID   *string `json:"last_event_id"`
	// AttestationCount is the number of good quotes.
	AttestationCount int `json:"attestation_count"`
	// LastReceivedQuote and LastSuccessfulAttestation are seconds since 1970,
	// 0 before the first.
	LastReceivedQuote         int64 `json:"last_received_quote"`
	LastSuccessfulAttestation int64 `json:"last_successful_attestation"`
	// AttestationStatus is PASS, FAIL, PENDING, or TIMEOUT in push mode; ""
	// before API 2.5.
	AttestationStatus string `json:"attestation_status"`
	// AttestationPeriod and MaximumAttestationInterval look like "2s".
	AttestationPeriod          string `json:"attestation_period"`
	MaximumAttestationInterval string `json:"maximum_attestation_interval"`
}

// AgentList is the result of GET /v2.x/agents/ (PROTOCOL.md 4.3): a list of
// lists of one id each.
type AgentList struct {
	UUIDs [][]string `json:"uuids"`
}

// RuntimePolicyNames is the result of GET /v2.x/allowlists/ (PROTOCOL.md 4.6).
type RuntimePolicyNames struct {
	Names []string `json:"runtimepolicy names"`
}

// RuntimePolicyRequest is the body of POST and PUT /v2.x/allowlists/:name.
type RuntimePolicyRequest struct {
	// TPMPolicy is JSON.
	TPMPolicy string `json:"tpm_policy"`
	// RuntimePolicy and RuntimePolicyKey are base64; the key "" for none.
	RuntimePolicy    string `json:"runtime_policy"`
	RuntimePolicyKey string `json:"runtime_policy_key"`
}

// RuntimePolicyRecord is the result of GET /v2.x/allowlists/:name.
type RuntimePolicyRecord struct {
	Name string `json:"name"`
	// TmpPolicy is misspelt on the wire, and always null.
	TmpPolicy *string `json:"tmp_policy"`
	// RuntimePolicy is the JSON text of the policy, not base64.
	RuntimePolicy string `json:"runtime_policy"`
}

// MBPolicyNames is the result of GET /v2.x/mbpolicies/ (PROTOCOL.md 4.7).
type MBPolicyNames struct {
	Names []string `json:"mbpolicy names"`
}

// MBPolicyRequest is the body of POST and PUT /v2.x/mbpolicies/:name.
type MBPolicyRequest struct {
	// MBPolicy is JSON.
	MBPolicy *string `json:"mb_policy"`
}

// MBPolicyRecord is the result of GET /v2.x/mbpolicies/:name.
type MBPolicyRecord struct {
	Name string `json:"name"`
	// MBPolicy is the JSON text of the policy; nil if null is stored.
	MBPolicy *string `json:"mb_policy"`
}

package verifier

import (
	"encoding/json"
	"time"
)

// The stages of an [Attestation].
const (
	StageAwaiting   = "awaiting_evidence"
	StageEvaluating = "evaluating_evidence"
	StageComplete   = "verification_complete"
)

// The evaluations of an [Attestation].
const (
	EvaluationPending = "pending"
	EvaluationPass    = "pass"
	EvaluationFail    = "fail"
)

// The reasons of a failure. 7.14.3 keeps them, and shows them to nobody.
const (
	ReasonBrokenChain = "broken_evidence_chain"
	ReasonPolicy      = "policy_violation"
)

// The classes and types of [Evidence], and the formats of logs.
const (
	ClassCertification = "certification"
	ClassLog           = "log"

	TypeTPMQuote = "tpm_quote"
	TypeUEFILog  = "uefi_log"
	TypeIMALog   = "ima_log"

	FormatBinary = "application/octet-stream"
	FormatText   = "text/plain"
)

// AttestationRecord is what a verifier tells of one attestation of an agent of
// the push model: GET /v3.0/agents/:id/attestations and below (PROTOCOL.md
// 2.4). The answers to the agent itself are made of the same members.
type AttestationRecord struct {
	// Stage and Evaluation are among the constants here.
	Stage      string `json:"stage"`
	Evaluation string `json:"evaluation,omitempty"`
	// FailureReason is left out by 7.14.3.
	FailureReason string `json:"failure_reason,omitempty"`
	// Requested is what the agent is to show; it is told to the agent alone.
	Requested []Evidence `json:"evidence_requested,omitempty"`
	// Evidence is what was asked for and, once it came, what was shown.
	Evidence   []Evidence `json:"evidence,omitempty"`
	SystemInfo SystemInfo `json:"system_info"`
	// The times are those of the verifier's clock.
	CapabilitiesReceivedAt  *time.Time `json:"capabilities_received_at,omitempty"`
	ChallengesExpireAt      *time.Time `json:"challenges_expire_at,omitempty"`
	EvidenceReceivedAt      *time.Time `json:"evidence_received_at,omitempty"`
	VerificationCompletedAt *time.Time `json:"verification_completed_at,omitempty"`
}

// SystemInfo is what an agent says of its machine.
type SystemInfo struct {
	BootTime *time.Time `json:"boot_time,omitempty"`
}

// Evidence is one item of evidence: what the agent can show, what it was asked
// for, and what it has shown.
type Evidence struct {
	Class        string            `json:"evidence_class"`
	Type         string            `json:"evidence_type"`
	Capabilities *Capabilities     `json:"capabilities,omitempty"`
	Chosen       *ChosenParameters `json:"chosen_parameters,omitempty"`
	Data         *EvidenceData     `json:"data,omitempty"`
}

// Capabilities say what an agent can show: a certification has the members up
// to CertificationKeys, a log those after it.
type Capabilities struct {
	ComponentVersion string `json:"component_version,omitempty"`
	EvidenceVersion  string `json:"evidence_version,omitempty"`

	SignatureSchemes []string `json:"signature_schemes,omitempty"`
	HashAlgorithms   []string `json:"hash_algorithms,omitempty"`
	// AvailableSubjects are the PCRs of each bank.
	AvailableSubjects Subjects           `json:"available_subjects,omitempty"`
	CertificationKeys []CertificationKey `json:"certification_keys,omitempty"`

	// EntryCount is the number of lines or events in the log.
	EntryCount            *int     `json:"entry_count,omitempty"`
	SupportsPartialAccess *bool    `json:"supports_partial_access,omitempty"`
	Appendable            *bool    `json:"appendable,omitempty"`
	Formats               []string `json:"formats,omitempty"`
}

// CertificationKey is a key that can sign evidence.
type CertificationKey struct {
	KeyClass     string `json:"key_class"`
	KeyAlgorithm string `json:"key_algorithm,omitempty"`
	KeySize      int    `json:"key_size"`
	// ServerIdentifier is "ak" for the AK.
	ServerIdentifier string `json:"server_identifier,omitempty"`
	// LocalIdentifier is the name of the key, in base64 as told by the verifier.
	LocalIdentifier string   `json:"local_identifier,omitempty"`
	AllowedSchemes  []string `json:"allowable_signature_schemes,omitempty"`
	AllowedHashes   []string `json:"allowable_hash_algorithms,omitempty"`
	// PublicB64 is the TPM2B_PUBLIC.
	PublicB64 string `json:"public,omitempty"`
}

// ChosenParameters say what the agent is to show: a certification has the
// members up to CertificationKey, a log those after it.
type ChosenParameters struct {
	// Challenge is the nonce, base64 of 16 bytes.
	Challenge       string `json:"challenge,omitempty"`
	SignatureScheme string `json:"signature_scheme,omitempty"`
	HashAlgorithm   string `json:"hash_algorithm,omitempty"`
	// SelectedSubjects are the PCRs to quote of each bank.
	SelectedSubjects Subjects          `json:"selected_subjects,omitempty"`
	CertificationKey *CertificationKey `json:"certification_key,omitempty"`

	// StartingOffset is the number of entries to leave out at the beginning,
	// EntryCount the number to send at most.
	StartingOffset *int   `json:"starting_offset,omitempty"`
	EntryCount     *int   `json:"entry_count,omitempty"`
	Format         string `json:"format,omitempty"`
}

// EvidenceData is what an agent has shown: a certification has the members up
// to SubjectData, a log those after it.
type EvidenceData struct {
	// Message is the TPMS_ATTEST, Signature the TPMT_SIGNATURE, SubjectData the
	// PCR blob of PROTOCOL.md 5.2; all base64.
	Message     string  `json:"message,omitempty"`
	Signature   string  `json:"signature,omitempty"`
	SubjectData Blob    `json:"subject_data,omitempty"`
	EntryCount  *int    `json:"entry_count,omitempty"`
	Entries     *string `json:"entries,omitempty"`
	// Meta is what the verifier adds: the PCRs and the clock of a quote as it reads
	// them.
	Meta json.RawMessage `json:"meta,omitempty"`
}

// Subjects are numbers of PCRs, for each bank. The protocol allows lists too,
// which no TPM needs: they are read as nothing.
type Subjects map[string][]int

// UnmarshalJSON reads an object of lists of numbers, and anything else as
// nothing.
func (s *Subjects) UnmarshalJSON(text []byte) error {
	var banks map[string][]int
	if json.Unmarshal(text, &banks) != nil {
		banks = nil
	}
	*s = banks
	return nil
}

// Blob is base64. The protocol allows objects and lists in its place, which are
// read as "".
type Blob string

// UnmarshalJSON reads a string, and anything else as "".
func (b *Blob) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) != nil {
		s = ""
	}
	*b = Blob(s)
	return nil
}

// Find is the first item of a type, nil if there is none.
func Find(items []Evidence, kind string) *Evidence {
	for i := range items {
		if items[i].Type == kind {
			return &items[i]
		}
	}
	return nil
}

// Offer is the body with which an agent begins an attestation: what it can
// show.
type Offer struct {
	Supported  []Evidence `json:"evidence_supported"`
	SystemInfo SystemInfo `json:"system_info"`
}

// Collected is the body with which an agent shows what it was asked for, in the
// order in which it was asked.
type Collected struct {
	Collected []Evidence `json:"evidence_collected"`
}

// SessionRequest is the body of POST /v3.0/sessions and, with Provided, of
// PATCH /v3.0/sessions/:id.
type SessionRequest struct {
	AgentID   string           `json:"agent_id"`
	Supported []Authentication `json:"authentication_supported,omitempty"`
	Provided  []Authentication `json:"authentication_provided,omitempty"`
}

// The one way in which an agent proves who it is: that it possesses its AK.
const (
	AuthenticationClass = "pop"
	AuthenticationType  = "tpm_pop"
)

// Authentication is a proof of possession: that it is offered, asked for, or
// given.
type Authentication struct {
	Class  string            `json:"authentication_class"`
	Type   string            `json:"authentication_type"`
	Chosen *ChosenParameters `json:"chosen_parameters,omitempty"`
	// Data holds a TPMS_ATTEST of TPM2_Certify, in which the AK vouches for
	// itself, and its TPMT_SIGNATURE.
	Data *EvidenceData `json:"data,omitempty"`
}

// SessionRecord is what the verifier says of a session.
type SessionRecord struct {
	AgentID    string           `json:"agent_id"`
	Evaluation string           `json:"evaluation,omitempty"`
	Requested  []Authentication `json:"authentication_requested,omitempty"`
	Given      []Authentication `json:"authentication,omitempty"`
	// Token is the bearer token of the session: a secret.
	Token              Token      `json:"token,omitempty"`
	CreatedAt          *time.Time `json:"created_at,omitempty"`
	ChallengesExpireAt *time.Time `json:"challenges_expire_at,omitempty"`
	ResponseReceivedAt *time.Time `json:"response_received_at,omitempty"`
	TokenExpiresAt     *time.Time `json:"token_expires_at,omitempty"`
}

package agent

// Quote is the result of GET /v2.x/quotes/identity (PROTOCOL.md 5.1), and part
// of that of quotes/integrity. Nothing of it has been verified.
type Quote struct {
	// Quote is the string of PROTOCOL.md 5.2.
	Quote string `json:"quote"`
	// HashAlg, EncAlg and SignAlg are the agent's names: "sha256", "rsa2048"
	// (before API 2.5 "rsa"), "rsassa".
	HashAlg string `json:"hash_alg"`
	EncAlg  string `json:"enc_alg"`
	SignAlg string `json:"sign_alg"`
	// PubKeyPEM is the transport key NK; "" in a partial integrity quote.
	PubKeyPEM string `json:"pubkey,omitempty"`
}

// IntegrityQuote is the result of GET /v2.x/quotes/integrity (PROTOCOL.md
// 5.3). Nothing of it has been verified.
type IntegrityQuote struct {
	Quote
	// IMAList is the text of the IMA list from entry IMAEntry on; nil if the
	// agent has none.
	IMAList  *string `json:"ima_measurement_list,omitempty"`
	IMAEntry *int    `json:"ima_measurement_list_entry,omitempty"`
	// MBLog is base64 of the binary boot log; nil if not asked for.
	MBLog *string `json:"mb_measurement_list,omitempty"`
	// BootTime is seconds since 1970; nil with agents that do not send it.
	BootTime *int64 `json:"boottime,omitempty"`
}

// UKeyRequest is the body of POST /v2.x/keys/ukey (PROTOCOL.md 7.1), in the
// tenant's order.
type UKeyRequest struct {
	// EncryptedKey is U sealed to the transport key, base64.
	EncryptedKey string `json:"encrypted_key"`
	// AuthTag is the hex HMAC-SHA384 over the agent id under K.
	AuthTag string `json:"auth_tag"`
	// Payload is the sealed payload in base64; nil for a key alone.
	Payload *string `json:"payload,omitempty"`
}

// VKeyRequest is the body of POST /v2.x/keys/vkey.
type VKeyRequest struct {
	// EncryptedKey is V sealed to the transport key, base64.
	EncryptedKey string `json:"encrypted_key"`
}

// VerifyResult is the result of GET /v2.x/keys/verify.
type VerifyResult struct {
	// HMAC is the hex HMAC-SHA384 over the challenge under K.
	HMAC string `json:"hmac"`
}

// PubKeyResult is the result of GET /v2.x/keys/pubkey.
type PubKeyResult struct {
	PubKeyPEM string `json:"pubkey"`
}

// Versions is the result of GET /version (PROTOCOL.md 2.2).
type Versions struct {
	Supported     string   `json:"supported_version"`
	SupportedList []string `json:"supported_versions,omitempty"`
}

// Info is the result of GET /v2.2+/agent/info.
type Info struct {
	AgentID string `json:"agent_uuid"`
	HashAlg string `json:"tpm_hash_alg"`
	EncAlg  string `json:"tpm_enc_alg"`
	SignAlg string `json:"tpm_sign_alg"`
	// AKHandle is the TPM's handle of the AK.
	AKHandle int64 `json:"ak_handle"`
}

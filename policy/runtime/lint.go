package runtime

// Note is one remark on a policy that is valid and yet likely wrong.
type Note struct {
	// Rule is the stable name of the remark, for example "wide-exclude".
	Rule string `json:"rule"`
	// Grave says that the policy will not do what it is for.
	Grave bool `json:"grave"`
	// Where is the path, pattern or key concerned.
	Where string `json:"where,omitempty"`
	// Message is one sentence without a period.
	Message string `json:"message"`
	// Remedy says what to do.
	Remedy string `json:"remedy,omitempty"`
}

// Lint looks for what a policy's author will not have meant.
func (p *Policy) Lint() []Note { return nil }

// Summary is a policy in numbers, for people.
type Summary struct {
	Version         int            `json:"version"`
	Generator       string         `json:"generator"`
	Timestamp       string         `json:"timestamp,omitempty"`
	Files           int            `json:"files"`
	FileDigests     int            `json:"file_digests"`
	Algorithms      map[string]int `json:"algorithms"`
	BootAggregate   []string       `json:"boot_aggregate,omitempty"`
	Excludes        []string       `json:"excludes"`
	Keyrings        map[string]int `json:"keyrings"`
	IgnoredKeyrings []string       `json:"ignored_keyrings"`
	Buffers         map[string]int `json:"buffers"`
	LogHashAlg      string         `json:"log_hash_alg"`
	Keys            []KeyInfo      `json:"verification_keys"`
}

// KeyInfo names one key of a keyring.
type KeyInfo struct {
	// ID is the key id as file signatures name it, eight hex digits.
	ID string `json:"id"`
	// Type is "RSA 2048", "EC P-256".
	Type string `json:"type"`
}

// Summarize counts a policy.
func (p *Policy) Summarize() Summary { return Summary{} }

// Words describes the policy in sentences, one a line.
func (p *Policy) Words() []string { return nil }

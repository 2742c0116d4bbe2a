package payload

// Kind is the cause of an [Error].
type Kind string

// The causes of an [Error].
const (
	// BadKeyFile: a key file does not hold three keys in base64.
	BadKeyFile Kind = "key-file"
	// KeysDiffer: the keys of a key file do not belong together.
	KeysDiffer Kind = "keys-differ"
	// BadKeyLength: a key is neither of 16 nor of 32 bytes, or two shares have
	// different lengths.
	BadKeyLength Kind = "key-length"
	// NotBase64: a sealed text is not base64.
	NotBase64 Kind = "base64"
	// TooShort: a sealed text is shorter than IV and tag.
	TooShort Kind = "too-short"
	// NotAuthentic: a sealed text was made with another key, or changed since.
	NotAuthentic Kind = "not-authentic"
	// BadTransportKey: not the PEM of an RSA public key of 2048 to 16384 bits.
	BadTransportKey Kind = "transport-key"
	// NoRandomness: the source of random bytes failed.
	NoRandomness Kind = "randomness"
	// Unsealable: RSA-OAEP refuses the share, the key, or to run at all.
	Unsealable Kind = "unsealable"
)

// Error is an input that cannot be used. It never holds key material.
type Error struct {
	Kind Kind
	// Cause says in words what is wrong.
	Cause string
	// Err is the cause below; may be nil.
	Err error
}

// Error is the cause in words.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Cause + ": " + e.Err.Error()
	}
	return e.Cause
}

// Unwrap returns the cause below.
func (e *Error) Unwrap() error { return e.Err }

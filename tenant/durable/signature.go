package durable

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// Signature is what a server has signed of a record for a transparency log. The
// key comes with the record: whose it is, the log alone would say.
type Signature struct {
	// KeyPEM is the key of the signer.
	KeyPEM string
	// TimeStamped says that a time stamp (RFC 3161) comes with it, which is not
	// checked.
	TimeStamped bool
	// Attributes are the names of the agent's attributes in the record.
	Attributes []string

	value []byte
	// agent and response are the parts that may be signed, as stored.
	agent, response json.RawMessage
}

// ErrSignature: the signature of a record does not fit it.
var ErrSignature = errors.New("the signature is not of this record")

// readSignature reads the signature of a record, nil if there is none.
func readSignature(record members) (*Signature, error) {
	if record["signature"] == nil {
		return nil, nil
	}
	s := &Signature{agent: record["agent"], response: record["json_response"]}
	r := &reader{members: record}
	var text string
	r.need("signature", &text)
	r.need("signer_pub_key", &s.KeyPEM)
	_, s.TimeStamped = record["signature_timestamp_response"]
	var err error
	if s.value, err = base64.StdEncoding.DecodeString(text); err != nil {
		return nil, &DamageError{Cause: "signature is not base64"}
	}
	var attributes members
	if json.Unmarshal(s.agent, &attributes) == nil {
		for name := range attributes {
			s.Attributes = append(s.Attributes, name)
		}
		slices.Sort(s.Attributes)
	}
	return s, r.err()
}

// Verify holds the signature against the record: RSASSA-PKCS1-v1_5 with SHA-256
// over the JSON text of the agent's attributes, and of the agent's answer with
// signed_attributes = all, as Python writes it. whole says that the answer is
// signed too. That the transparency log has the signature, and when it was made,
// is not checked. Errors: [ErrSignature], or why the key cannot be used.
func (s *Signature) Verify() (whole bool, err error) {
	key, err := s.key()
	if err != nil {
		return false, err
	}
	check := func(text []byte) bool {
		digest := sha256.Sum256(text)
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.value) == nil
	}
	if check(fmt.Appendf(nil, `{"agent": %s}`, pythonJSON(s.agent))) {
		return false, nil
	}
	if s.response != nil && check(fmt.Appendf(nil, `{"agent": %s, "json_response": %s}`, pythonJSON(s.agent), pythonJSON(s.response))) {
		return true, nil
	}
	return false, ErrSignature
}

func (s *Signature) key() (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(s.KeyPEM))
	if block == nil {
		return nil, errors.New("the key of the signer is not PEM")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the key of the signer is no public key")
	}
	key, is := public.(*rsa.PublicKey)
	if !is {
		return nil, errors.New("the key of the signer is no RSA key")
	}
	return key, nil
}

// Fingerprint is the SHA-256 of the signer's key (SubjectPublicKeyInfo), in hex;
// "" if it cannot be read.
func (s *Signature) Fingerprint() string {
	block, _ := pem.Decode([]byte(s.KeyPEM))
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

// pythonJSON writes JSON as json.dumps does by default: a blank behind each
// comma and colon and no other. What Python has written is the same but for
// blanks then, token for token.
func pythonJSON(raw json.RawMessage) []byte {
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return raw
	}
	out := make([]byte, 0, compact.Len()+compact.Len()/8)
	inside := false
	for text := compact.Bytes(); len(text) > 0; {
		c := text[0]
		out, text = append(out, c), text[1:]
		switch {
		case inside && c == '\\' && len(text) > 0:
			out, text = append(out, text[0]), text[1:]
		case c == '"':
			inside = !inside
		case !inside && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

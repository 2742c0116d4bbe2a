// Package dsse signs runtime policies and checks signed ones: DSSE envelopes
// (github.com/secure-systems-lab/dsse, protocol DSSEv1) as Keylime 7.14 writes
// and reads them (PROTOCOL.md 10.4): payload type application/vnd.keylime+json,
// ECDSA with SHA-256, signatures in DER, base64, and key ids of Keylime's own.
//
// An envelope is checked against a key that the caller has from elsewhere. The
// key ids in it are never believed: an x509 envelope carries its own
// certificate, which proves nothing.
package dsse

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// PayloadType is the type of a signed runtime policy.
const PayloadType = "application/vnd.keylime+json"

// Check names what a failed envelope or key failed at.
type Check string

// The checks.
const (
	CheckJSON        Check = "json"         // the envelope is no JSON
	CheckSigned      Check = "signed"       // it is JSON, but no envelope
	CheckEnvelope    Check = "envelope"     // a member has a wrong form
	CheckPayloadType Check = "payload type" // the payload is something else
	CheckSignature   Check = "signature"    // no signature is by the key
	CheckKey         Check = "key"          // the key given cannot be used
)

// Error is every error of this package.
type Error struct {
	// Check is what failed.
	Check Check
	// Reason is the cause in words.
	Reason string
	// Err is an underlying error, or nil.
	Err error
}

func (e *Error) Error() string {
	s := "signed policy: " + e.Reason
	if e.Check == CheckKey {
		s = "signing key: " + e.Reason
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// envelope is the JSON form (DSSE envelope.md). Members are kept raw where
// Keylime looks at them before it knows their type.
type envelope struct {
	Payload     json.RawMessage
	PayloadType *string
	Signatures  []signature
}

type signature struct {
	KeyID json.RawMessage
	Sig   *string
}

// object is a JSON object with its members by their exact names, of repeated
// ones the last: as Python reads it. A struct would not do: encoding/json takes
// "PAYLOAD" for "payload", so that another payload would be verified here than
// the one that a verifier uses.
type object map[string]json.RawMessage

// UnmarshalJSON reads an envelope by the exact names of its members.
func (e *envelope) UnmarshalJSON(data []byte) error {
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	e.Payload = o["payload"]
	return errors.Join(o.member("payloadType", &e.PayloadType), o.member("signatures", &e.Signatures))
}

// UnmarshalJSON reads a signature by the exact names of its members.
func (s *signature) UnmarshalJSON(data []byte) error {
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	s.KeyID = o["keyid"]
	return o.member("sig", &s.Sig)
}

// member decodes one member, if it is there.
func (o object) member(name string, into any) error {
	raw, there := o[name]
	if !there {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// IsEnvelope tells whether data is a JSON object with a "payload" that Python
// takes as true, which is how Keylime tells a signed policy from a plain one.
func IsEnvelope(data []byte) bool {
	var o object
	if json.Unmarshal(data, &o) != nil || o["payload"] == nil {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(o["payload"]))
	d.UseNumber() // one beyond all use is true, too
	var payload any
	if d.Decode(&payload) != nil {
		return false
	}
	switch p := payload.(type) {
	case string:
		return p != ""
	case bool:
		return p
	case json.Number:
		f, err := p.Float64()
		return err != nil || f != 0
	case []any:
		return len(p) > 0
	case map[string]any:
		return len(p) > 0
	default:
		return false
	}
}

// KeyIDs returns the key ids that an envelope names, unchecked, for messages.
func KeyIDs(data []byte) ([]string, error) {
	e, _, err := open(data)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range e.Signatures {
		var id string
		if json.Unmarshal(s.KeyID, &id) == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Payload returns the payload of an envelope without checking any signature,
// as a verifier does that does not require signatures. Errors: *[Error] with
// CheckJSON, CheckSigned, CheckEnvelope.
func Payload(data []byte) ([]byte, error) {
	_, payload, err := open(data)
	return payload, err
}

// open decodes an envelope.
func open(data []byte) (*envelope, []byte, error) {
	if !json.Valid(data) {
		return nil, nil, &Error{Check: CheckJSON, Reason: "file is not valid JSON"}
	}
	if !IsEnvelope(data) {
		return nil, nil, &Error{Check: CheckSigned, Reason: "file is not a DSSE envelope, the policy in it is not signed"}
	}
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, nil, &Error{Check: CheckEnvelope, Reason: "envelope has not the form of DSSE", Err: err}
	}
	var text string
	if err := json.Unmarshal(e.Payload, &text); err != nil {
		return nil, nil, &Error{Check: CheckEnvelope, Reason: "payload is not a string"}
	}
	payload, err := decode(text)
	if err != nil {
		return nil, nil, &Error{Check: CheckEnvelope, Reason: "payload is not base64", Err: err}
	}
	return &e, payload, nil
}

// pae is the pre-authentication encoding: the bytes that are signed.
func pae(payloadType string, payload []byte) []byte {
	head := "DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " "
	return append([]byte(head), payload...)
}

// decode reads payloads and signatures as Keylime does: as hexadecimal digits
// if they can be read so, then as base64, then as base64 whose "+" and "/" may
// be written "-" and "_". Keylime writes base64 of a policy, which begins with
// "ey" or "ew" and is never hexadecimal.
func decode(text string) ([]byte, error) {
	if b, err := hex.DecodeString(text); err == nil && len(b) > 0 {
		return b, nil
	}
	if strings.ContainsAny(text, "\r\n") { // Go would skip them, Keylime refuses
		return nil, errors.New("line breaks in base64")
	}
	b, err := base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(text))
	if err != nil {
		return nil, fmt.Errorf("neither hexadecimal nor base64: %w", err)
	}
	return b, nil
}

// encode writes an envelope in the form of Keylime: its order of keys, ", " and
// ": ", one line, no newline at the end.
func encode(payload []byte, keyID string, sig []byte) []byte {
	var b strings.Builder
	b.WriteString(`{"payload": "`)
	b.WriteString(base64.StdEncoding.EncodeToString(payload))
	b.WriteString(`", "payloadType": "` + PayloadType + `", "signatures": [{"keyid": "` + keyID + `", "sig": "`)
	b.WriteString(base64.StdEncoding.EncodeToString(sig))
	b.WriteString(`"}]}`)
	return []byte(b.String())
}

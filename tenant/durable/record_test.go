package durable_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/durable"
)

// attestation is a record in the form that Python writes, with the agent's
// attributes and further members.
func attestation(attributes, more string) string {
	return "{\n    \"agent\": {\n        " + attributes + "\n    },\n    \"json_response\": {\n        \"code\": 200,\n        \"results\": {\n            \"quote\": \"rA:B:C\"\n        }\n    }" + more + "\n}"
}

const attributes = `"agent_id": "a",
        "ak_tpm": "QUs=",
        "nonce": "n",
        "tpm_policy": "{\"mask\": \"0x1\"}",
        "ima_sign_verification_keys": null,
        "accept_tpm_hash_algs": ["sha256"],
        "accept_tpm_encryption_algs": [],
        "accept_tpm_signing_algs": ["rsassa"],
        "supported_version": "2.6",
        "attestation_count": 3,
        "request_timeout": 60.0,
        "verifier_id": "d\u00e4fault: \"x\", y",
        "tpm_clockinfo": {"clock": 7, "resetCount": 2, "restartCount": 1, "safe": 1}`

func TestParseAttestation(t *testing.T) {
	t.Parallel()
	a, err := durable.ParseAttestation([]byte(attestation(attributes, `, "mb_policy": "{}", "Runtime_policy": "no", "verifier_timestamp": "now"`)))
	if err != nil {
		t.Fatal(err)
	}
	if a.AgentID != "a" || string(a.AK) != "AK" || a.Nonce != "n" || a.Keyring != "" || !slices.Equal(a.AcceptHash, []string{"sha256"}) || a.AcceptEnc == nil ||
		a.Count != 3 || a.Clock == nil || a.Clock.Clock != 7 || a.Clock.ResetCount != 2 || !a.Clock.Safe || a.Answer.Quote.Quote != "rA:B:C" ||
		a.RuntimePolicy != nil || *a.MBPolicy != "{}" || a.Stamp != "now" || a.Signature != nil {
		t.Errorf("%+v", a)
	}
}

// TestParseAttestationRefuses takes out or spoils one member each.
func TestParseAttestationRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":      {"x", "not a JSON object"},
		"a list":       {"[]", "not a JSON object"},
		"null":         {"null", "lacks agent"},
		"no agent":     {`{"Agent": {}}`, "lacks agent"},
		"agent a list": {`{"agent": []}`, "agent is not an object"},
		"agent null":   {`{"agent": null}`, "agent is not an object"},
		"no response":  {`{"agent": {` + attributes + `}}`, "lacks json_response"},
		"results":      {strings.Replace(attestation(attributes, ""), `"results"`, `"result"`, 1), "lacks results"},
		"results a list": {strings.Replace(attestation(attributes, ""), `{
            "quote": "rA:B:C"
        }`, `[]`, 1), "results is not of the kind"},
		"no nonce":       {attestation(strings.Replace(attributes, `"nonce"`, `"Nonce"`, 1), ""), "lacks nonce"},
		"no keys":        {attestation(strings.Replace(attributes, `"ima_sign_verification_keys"`, `"x"`, 1), ""), "lacks ima_sign_verification_keys"},
		"null list":      {attestation(strings.Replace(attributes, `["sha256"]`, `null`, 1), ""), "lacks accept_tpm_hash_algs"},
		"AK no base64":   {attestation(strings.Replace(attributes, `QUs=`, `*`, 1), ""), "ak_tpm is not base64"},
		"count a text":   {attestation(strings.Replace(attributes, `"attestation_count": 3`, `"attestation_count": "3"`, 1), ""), "attestation_count is not"},
		"clock a list":   {attestation(strings.Replace(attributes, `{"clock"`, `[], "y": {"clock"`, 1), ""), "tpm_clockinfo is not"},
		"clock negative": {attestation(strings.Replace(attributes, `"clock": 7`, `"clock": -7`, 1), ""), "tpm_clockinfo is not"},
		"policy no text": {attestation(attributes, `, "mb_policy": {}`), "mb_policy is not"},
		"signature":      {attestation(attributes, `, "signature": "*", "signer_pub_key": "x"`), "signature is not base64"},
		"no signer":      {attestation(attributes, `, "signature": "AA=="`), "lacks signer_pub_key"},
	} {
		_, err := durable.ParseAttestation([]byte(test.text))
		var damage *durable.DamageError
		var incomplete *durable.IncompleteError
		if !errors.As(err, &damage) && !errors.As(err, &incomplete) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRegistration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"agent": {"aik_tpm": "QUs="}}`:                                 "",
		`{"agent": {"aik_tpm": "QUs=", "active": true}}`:                 "active",
		`{"agent": {"aik_tpm": "QUs=", "active": 1}}`:                    "active",
		`{"agent": {"aik_tpm": "QUs=", "active": 0, "agent_id": "a"}}`:   "not active a",
		`{"agent": {"aik_tpm": "QUs=", "active": "yes"}}`:                "error",
		`{"agent": {"ek_tpm": "QUs="}}`:                                  "error",
		`{"agent": {"aik_tpm": "*"}}`:                                    "error",
		`{"agent": {"aik_tpm": "QUs="}, "signature": "AA==", "x": null}`: "error",
		`{}`: "error",
		``:   "error",
	} {
		g, err := durable.ParseRegistration([]byte(text))
		got := ""
		switch {
		case err != nil:
			got = "error"
		case g.Active != nil && *g.Active:
			got = "active"
		case g.Active != nil:
			got = "not active " + g.AgentID
		}
		if got != want || err == nil && string(g.AK) != "AK" {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
}

// signed is a record with a signature over what Python's json.dumps makes of its
// parts.
func signed(t *testing.T, signedText, attributes string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(signedText))
	value, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	keyText, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(attestation(attributes, `, "signature": "`+base64.StdEncoding.EncodeToString(value)+`", "signer_pub_key": `+string(keyText)+`, "signature_timestamp_response": "AA=="`))
}

// pythonAgent is json.dumps of {"agent": {...}} of the attributes above.
const pythonAgent = `{"agent": {"agent_id": "a", "ak_tpm": "QUs=", "nonce": "n", "tpm_policy": "{\"mask\": \"0x1\"}", "ima_sign_verification_keys": null, "accept_tpm_hash_algs": ["sha256"], "accept_tpm_encryption_algs": [], "accept_tpm_signing_algs": ["rsassa"], "supported_version": "2.6", "attestation_count": 3, "request_timeout": 60.0, "verifier_id": "d\u00e4fault: \"x\", y", "tpm_clockinfo": {"clock": 7, "resetCount": 2, "restartCount": 1, "safe": 1}}`

func TestSignature(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, attributes string
		whole            bool
		bad              bool
	}{
		"attributes":     {pythonAgent + "}", attributes, false, false},
		"all":            {pythonAgent + `, "json_response": {"code": 200, "results": {"quote": "rA:B:C"}}}`, attributes, true, false},
		"another nonce":  {pythonAgent + "}", strings.Replace(attributes, `"nonce": "n"`, `"nonce": "m"`, 1), false, true},
		"another number": {pythonAgent + "}", strings.Replace(attributes, "60.0", "60", 1), false, true},
		"nothing":        {"", attributes, false, true},
	} {
		a, err := durable.ParseAttestation(signed(t, test.text, test.attributes))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := a.Signature.Verify()
		if errors.Is(err, durable.ErrSignature) != test.bad || whole != test.whole || !a.Signature.TimeStamped || len(a.Signature.Fingerprint()) != 64 ||
			!slices.Contains(a.Signature.Attributes, "nonce") {
			t.Errorf("%s: %v %v", name, whole, err)
		}
	}
}

func TestSignatureKeys(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "x", "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\\n"} {
		a, err := durable.ParseAttestation([]byte(attestation(attributes, `, "signature": "AAAA", "signer_pub_key": "`+key+`"`)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Signature.Verify(); err == nil || errors.Is(err, durable.ErrSignature) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

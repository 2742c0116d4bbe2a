package registrar

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	wire "github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/tenant/ek"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// The texts of PROTOCOL.md 3.4.
const (
	invalidData = "Could not register agent with invalid data"
	otherTPM    = "Agent re-registration with different TPM identity is forbidden for security reasons"
)

// body reads a JSON body that says that it is JSON; ok is false if it does not
// say so, and err is set if it is none.
func body(r *serve.Request, into any) (ok bool, err error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return false, nil
	}
	return true, json.Unmarshal(r.Body, into)
}

// register answers POST /agents/:id and POST /agents.
func (s *Server) register(r *serve.Request) serve.Answer {
	var request wire.RegisterRequest
	ok, err := body(r, &request)
	if err != nil {
		return serve.Bare(http.StatusBadRequest)
	}
	id := r.Params["id"]
	if id == "" {
		id = request.AgentID
	}
	if !ok || id == "" {
		return serve.Fail(http.StatusBadRequest, invalidData)
	}
	device, err := s.identity(id, request)
	var record wire.Record
	if err == nil {
		record, err = newRecord(id, request)
	}
	if err != nil {
		s.log(fmt.Sprintf("registrar: agent %.100q: %v", id, err))
		return serve.Fail(http.StatusBadRequest, invalidData)
	}
	blob, key, err := s.challenge(record)
	if err != nil {
		s.log(fmt.Sprintf("registrar: agent %.100q: no challenge: %v", id, err))
		return serve.Fail(http.StatusBadRequest, invalidData)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.agents[id]
	if old != nil {
		if !sameTPM(old.Record, record) {
			return serve.Fail(http.StatusForbidden, otherTPM)
		}
		record.RegCount, record.ProviderKeys = old.Record.RegCount, old.Record.ProviderKeys
	} else {
		s.order = append(s.order, id)
	}
	record.RegCount++
	s.agents[id] = &agent{Record: record, Key: key, Device: device}
	return s.saved(serve.OK(wire.RegisterResult{Blob: base64.StdEncoding.EncodeToString(blob)}))
}

// newRecord checks what an agent says about its EK. Errors:
// *[RegistrationError].
func newRecord(id string, request wire.RegisterRequest) (wire.Record, error) {
	none := wire.Record{}
	ekTPM, err := binary(request.EKTPM)
	if err != nil {
		return none, refuse(CheckField, "ek_tpm", "%w", err)
	}
	public, err := ek.ParsePublic(ekTPM)
	if err != nil {
		return none, refuse(CheckField, "ek_tpm", "%w", err)
	}
	ak, err := binary(request.AIKTPM)
	if err != nil {
		return none, refuse(CheckField, "aik_tpm", "%w", err)
	}
	record := wire.Record{AgentID: id, EKTPM: base64.StdEncoding.EncodeToString(ekTPM), AIKTPM: base64.StdEncoding.EncodeToString(ak),
		MTLSCert: request.MTLSCert, IP: request.IP}
	if request.Port != nil {
		port := int(*request.Port)
		record.Port = &port
	}
	if request.EKCert != nil && *request.EKCert != "" {
		der, err := certificate(*request.EKCert)
		if err != nil {
			return none, refuse(CheckField, "ekcert", "%w", err)
		}
		if err := certifies(der, public); err != nil {
			return none, err
		}
		text := base64.StdEncoding.EncodeToString(der)
		record.EKCert = &text
	}
	return record, nil
}

// certifies says whether a certificate is for this EK.
func certifies(der []byte, public ek.Public) error {
	cert, err := ek.ParseCertificate(der)
	switch {
	case err != nil:
		return refuse(CheckField, "ekcert", "%w", err)
	case !cert.IsFor(public):
		return refuse(CheckKeyMatch, "ekcert", "it is for another key than ek_tpm")
	}
	return nil
}

// binary decodes strict base64, else hex with or without 0x (PROTOCOL.md 3.3).
func binary(text string) ([]byte, error) {
	if text == "" {
		return nil, errors.New("is missing")
	}
	if data, err := base64.StdEncoding.Strict().DecodeString(text); err == nil {
		return data, nil
	}
	data, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil {
		return nil, errors.New("neither base64 nor hex")
	}
	return data, nil
}

// certificate is the DER of the first certificate of a PEM text, or of base64.
func certificate(text string) ([]byte, error) {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		return block.Bytes, nil
	}
	return binary(text)
}

// sameTPM is the identity freeze of PROTOCOL.md 3.4: an EK certificate may
// come later, nothing may change or go.
func sameTPM(old, now wire.Record) bool {
	if old.EKTPM != now.EKTPM || old.AIKTPM != now.AIKTPM {
		return false
	}
	return old.EKCert == nil || now.EKCert != nil && *old.EKCert == *now.EKCert
}

// challengeAlphabet are the characters of a challenge.
const challengeAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz"

// challengeLength is the number of characters of a challenge.
const challengeLength = 32

// challenge makes a credential that only the TPM with this EK and AK can open,
// and the text whose HMAC proves that it has (PROTOCOL.md 3.5).
func (s *Server) challenge(record wire.Record) (blob []byte, key string, err error) {
	secret := make([]byte, 0, challengeLength)
	one := make([]byte, 1)
	for len(secret) < challengeLength {
		if _, err := io.ReadFull(s.rand, one); err != nil {
			return nil, "", fmt.Errorf("no randomness: %w", err)
		}
		// Bytes above the last multiple of the alphabet would favour its start.
		if n := len(challengeAlphabet); int(one[0]) < 256/n*n {
			secret = append(secret, challengeAlphabet[int(one[0])%n])
		}
	}
	ekPublic, err := base64.StdEncoding.DecodeString(record.EKTPM)
	if err != nil {
		return nil, "", err
	}
	ak, err := base64.StdEncoding.DecodeString(record.AIKTPM)
	if err != nil {
		return nil, "", err
	}
	name, err := softtpm.AKName(ak)
	if err != nil {
		return nil, "", fmt.Errorf("aik_tpm: %w", err)
	}
	if blob, err = softtpm.MakeCredential(ekPublic, name, secret, s.rand); err != nil {
		return nil, "", err
	}
	return blob, base64.StdEncoding.EncodeToString(secret), nil
}

// activate answers PUT /agents/:id and its synonyms.
func (s *Server) activate(r *serve.Request) serve.Answer {
	var request wire.ActivateRequest
	if ok, err := body(r, &request); !ok || err != nil || request.AuthTag == "" {
		return serve.Bare(http.StatusBadRequest)
	}
	id := r.Params["id"]
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[id]
	if a == nil {
		return notFound(id)
	}
	want := payload.AuthTag(payload.NewSecret([]byte(a.Key)), id)
	if !payload.EqualTag(want, request.AuthTag) {
		s.forget(id)
		return s.saved(serve.Failf(http.StatusBadRequest, "Auth tag '%s' for agent '%s' does not match expected value. "+
			"The agent has been deleted from the database and will need to be restarted to reattempt registration", request.AuthTag, id))
	}
	a.Active = true
	return s.saved(serve.OK(nil))
}

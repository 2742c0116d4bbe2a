package agent

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"sync"

	wire "github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/payload"
)

// maxShares bounds the shares kept while their counterparts have not come.
const maxShares = 64

// shareU is U with what came along with it.
type shareU struct {
	key     payload.Secret
	authTag string
	sealed  *string
}

// keyStore collects U and V until a pair of them fits, and keeps the K that
// the last fitting pair made (PROTOCOL.md 7.1).
type keyStore struct {
	mu  sync.Mutex
	us  []shareU
	vs  []payload.Secret
	key payload.Secret
}

// delivery is a payload with the key that opens it.
type delivery struct {
	key    payload.Secret
	sealed string
}

// add takes a share, tries all pairs, and returns what the fitting one
// delivers: nil without a fit. Sealed is "" for a key without a payload.
func (s *keyStore) add(u *shareU, v *payload.Secret, id string) *delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u != nil {
		s.us = append(s.us, *u)
	}
	if v != nil {
		s.vs = append(s.vs, *v)
	}
	s.us, s.vs = newest(s.us), newest(s.vs)
	for _, u := range s.us {
		for _, v := range s.vs {
			key, err := payload.Combine(u.key, v)
			if err != nil || !payload.EqualTag(payload.AuthTag(key, id), u.authTag) {
				continue
			}
			s.key, s.us, s.vs = key, nil, nil
			d := &delivery{key: key}
			if u.sealed != nil {
				d.sealed = *u.sealed
			}
			return d
		}
	}
	return nil
}

func newest[T any](shares []T) []T {
	if len(shares) > maxShares {
		return shares[len(shares)-maxShares:]
	}
	return shares
}

// current is K, of length 0 before a pair has fitted.
func (s *keyStore) current() payload.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// openShare decrypts a share that came for the transport key. ok is false
// beside the refusal.
func (a *Agent) openShare(sealedB64, wrongLength string) (share payload.Secret, no answer, ok bool) {
	share, err := payload.OpenShare(a.nk, sealedB64)
	var e *payload.Error
	switch {
	case err == nil:
		return share, answer{}, true
	case errors.As(err, &e) && e.Kind == payload.NotBase64:
		no = refusal(http.StatusBadRequest, "Invalid base64 encoding in encrypted_key: %v", err)
	case errors.As(err, &e) && e.Kind == payload.BadKeyLength:
		no = refusal(http.StatusBadRequest, "%s: %v", wrongLength, err)
	default:
		no = refusal(http.StatusBadRequest, "Failed to decrypt encrypted_key: %v", err)
	}
	return payload.Secret{}, no, false
}

// takeU answers POST /keys/ukey: the tenant's share and the sealed payload.
func (a *Agent) takeU(request wire.UKeyRequest) answer {
	share, no, ok := a.openShare(request.EncryptedKey, "Invalid decrypted key")
	if !ok {
		return no
	}
	tag, err := hex.DecodeString(request.AuthTag)
	if err != nil {
		return refusal(http.StatusBadRequest, "Invalid hex encoding in auth_tag: %v", err)
	}
	const tagLength = 48 // SHA-384
	if len(tag) != tagLength {
		return refusal(http.StatusBadRequest, "auth tag length %d does not correspond to valid SHA-384 HMAC", len(tag))
	}
	if request.Payload != nil {
		if _, err := base64.StdEncoding.DecodeString(*request.Payload); err != nil {
			return refusal(http.StatusBadRequest, "Invalid base64 encoding in payload: %v", err)
		}
	}
	a.logf("received U")
	a.deliver(a.keys.add(&shareU{share, request.AuthTag, request.Payload}, nil, a.id))
	return success(null{})
}

// takeV answers POST /keys/vkey: the verifier's share.
func (a *Agent) takeV(request wire.VKeyRequest) answer {
	share, no, ok := a.openShare(request.EncryptedKey, "Decrypted key is invalid")
	if !ok {
		return no
	}
	a.logf("received V")
	a.deliver(a.keys.add(nil, &share, a.id))
	return success(null{})
}

// verifyKey answers GET /keys/verify: proof that the agent holds K.
func (a *Agent) verifyKey(r *http.Request) answer {
	if !r.URL.Query().Has("challenge") {
		return missing("challenge")
	}
	challenge := r.URL.Query().Get("challenge")
	switch key := a.keys.current(); {
	case challenge == "":
		return refusal(http.StatusBadRequest, "No challenge provided.")
	case !alphanumeric(challenge):
		return refusal(http.StatusBadRequest, "Parameters should be strictly alphanumeric: %s", challenge)
	case key.Len() == 0:
		return refusal(http.StatusBadRequest, "Bootstrap key not yet available.")
	default:
		return success(wire.VerifyResult{HMAC: payload.Challenge(key, challenge)})
	}
}

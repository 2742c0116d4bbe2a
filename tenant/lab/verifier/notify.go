package verifier

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/keylime/keylime-tenant/client"
	wire "github.com/keylime/keylime-tenant/client/verifier"
)

// noticeTimeout bounds the telling of one agent.
const noticeTimeout = 5 * time.Second

// notice is the body of an agent's POST /notifications/revocation.
type notice struct {
	Msg       string `json:"msg"`
	Signature string `json:"signature"`
}

// noticeText is the JSON inside a notice (PROTOCOL.md 7.5).
type noticeText struct {
	Type     string          `json:"type"`
	IP       *string         `json:"ip"`
	AgentID  string          `json:"agent_id"`
	Port     *int            `json:"port"`
	Policy   string          `json:"tpm_policy"`
	MetaData string          `json:"meta_data"`
	Time     string          `json:"event_time"`
	EventID  string          `json:"event_id"`
	Severity string          `json:"severity_label"`
	Context  json.RawMessage `json:"context"`
}

// target is an agent that is told.
type target struct {
	id      string
	request wire.AddRequest
}

// notify tells all agents, the failing one included, that an agent has failed;
// in the background, once each. The caller holds the lock.
func (s *Server) notify(e *enrolled, kind string, ev event) {
	r := e.Record
	text, err := json.Marshal(noticeText{Type: kind, IP: r.IP, AgentID: e.ID, Port: r.Port, Policy: r.TPMPolicy, MetaData: r.MetaData,
		Time: s.o.Now().UTC().Format(time.ANSIC), EventID: ev.ID, Severity: labelEmergency, Context: ev.contextJSON()})
	if err != nil {
		s.logf("revocation notice: %v", err)
		return
	}
	key := string(e.Request.RevocationKey)
	var targets []target
	for _, id := range s.order {
		if other := s.agents[id]; other.Push == nil { // the others cannot be reached
			targets = append(targets, target{id, other.Request})
		}
	}
	s.work.Go(func() {
		signature, err := s.signNotice(key, text)
		if err != nil {
			s.logf("revocation notice of agent %s is not sent: %v", e.ID, err)
			return
		}
		for _, t := range targets {
			if err := s.tell(t, notice{string(text), signature}); err != nil && s.ctx.Err() == nil {
				s.logf("revocation notice: %v", err)
			}
		}
	})
}

// signNotice signs with the key that came with the agent: RSA-PSS, SHA-256,
// and a salt of the greatest length. Without a key the signature is empty.
func (s *Server) signNotice(keyPEM string, text []byte) (string, error) {
	if keyPEM == "" {
		return "", nil
	}
	block, _ := pem.Decode([]byte(keyPEM))
	if block == nil {
		return "", errors.New("revocation_key is not PEM")
	}
	var key *rsa.PrivateKey
	if any, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		key, _ = any.(*rsa.PrivateKey)
	} else if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		return "", fmt.Errorf("revocation_key: %w", err)
	}
	if key == nil {
		return "", errors.New("revocation_key is no RSA key")
	}
	digest := sha256.Sum256(text)
	signature, err := rsa.SignPSS(s.o.Rand, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// tell posts a notice to one agent.
func (s *Server) tell(t target, n notice) error {
	transport, err := client.New(client.Config{Name: client.AgentName, Host: *t.request.CloudagentIP, Port: int(*t.request.CloudagentPort),
		TLS: s.o.Agents, PinnedPEM: *t.request.MTLSCert, Timeout: noticeTimeout})
	if err != nil {
		return err
	}
	defer transport.Close()
	if version, err := client.ParseVersion(t.request.SupportedVersion); err == nil {
		transport.Use(version)
	}
	ctx, cancel := context.WithTimeout(s.ctx, noticeTimeout)
	defer cancel()
	_, err = transport.Do(ctx, client.Call{Method: http.MethodPost, Path: "/notifications/revocation", Body: n})
	return err
}

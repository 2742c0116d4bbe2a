package agent_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
)

// serve answers every call with a body, and tells the last that was asked.
func serve(t *testing.T, status int, body string) (*agent.Client, *string) {
	t.Helper()
	var asked string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		asked = strings.TrimSpace(r.Method + " " + r.RequestURI + " " + r.Header.Get("Content-Type") + " " + string(content))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	addr := s.Listener.Addr().(*net.TCPAddr)
	transport, err := client.New(client.Config{Name: client.AgentName, Host: addr.IP.String(), Port: addr.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.Close)
	return agent.New(transport), &asked
}

func good(results string) string {
	return `{"code": 200, "status": "Success", "results": ` + results + `}`
}

func TestIdentityQuote(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, good(`{"quote": "rQ", "hash_alg": "sha256", "enc_alg": "rsa2048", "sign_alg": "rsassa", "pubkey": "PEM\n"}`))
	quote, _, err := c.IdentityQuote(context.Background(), "abc")
	if want := (agent.Quote{Quote: "rQ", HashAlg: "sha256", EncAlg: "rsa2048", SignAlg: "rsassa", PubKeyPEM: "PEM\n"}); err != nil || *quote != want {
		t.Errorf("%+v, %v", quote, err)
	}
	if *asked != "GET /v2.6/quotes/identity?nonce=abc" {
		t.Error(*asked)
	}
	for _, bad := range []string{`{"pubkey": "x"}`, `{"quote": "x"}`, `{"quote": 1}`, `null`, `[]`} {
		c, _ = serve(t, 200, good(bad))
		if quote, _, err := c.IdentityQuote(context.Background(), "abc"); client.KindOf(err) != client.Unreadable || quote != nil {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestIntegrityQuote(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, good(`{"quote": "rQ", "hash_alg": "sha256", "enc_alg": "rsa2048", "sign_alg": "rsassa", "ima_measurement_list": "10 x\n",
		"ima_measurement_list_entry": 3, "mb_measurement_list": "QQ==", "boottime": 5}`))
	quote, _, err := c.IntegrityQuote(context.Background(), agent.IntegrityRequest{Nonce: "abc", Mask: "0x400", Partial: true, IMAEntry: 3})
	if err != nil || quote.Quote.Quote != "rQ" || quote.PubKeyPEM != "" || *quote.IMAList != "10 x\n" || *quote.IMAEntry != 3 || *quote.MBLog != "QQ==" || *quote.BootTime != 5 {
		t.Errorf("%+v, %v", quote, err)
	}
	if *asked != "GET /v2.6/quotes/integrity?ima_ml_entry=3&mask=0x400&nonce=abc&partial=1" {
		t.Error(*asked)
	}
	c, asked = serve(t, 200, good(`{"quote": "rQ"}`))
	if quote, _, err = c.IntegrityQuote(context.Background(), agent.IntegrityRequest{}); err != nil || quote.IMAList != nil || quote.BootTime != nil {
		t.Errorf("%+v, %v", quote, err)
	}
	if !strings.Contains(*asked, "partial=0") {
		t.Error(*asked)
	}
	c, _ = serve(t, 200, good(`{}`))
	if _, _, err = c.IntegrityQuote(context.Background(), agent.IntegrityRequest{}); client.KindOf(err) != client.Unreadable {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, 200, good(`null`))
	payload := "cGF5"
	if _, err := c.PostU(context.Background(), agent.UKeyRequest{EncryptedKey: "a+/=", AuthTag: "00", Payload: &payload}); err != nil {
		t.Error(err)
	}
	if *asked != `POST /v2.6/keys/ukey application/json {"encrypted_key":"a+/=","auth_tag":"00","payload":"cGF5"}` {
		t.Error(*asked)
	}
	if _, err := c.PostU(context.Background(), agent.UKeyRequest{EncryptedKey: "a"}); err != nil || strings.Contains(*asked, "payload") {
		t.Error(*asked, err)
	}
	if _, err := c.PostV(context.Background(), "Vg=="); err != nil || *asked != `POST /v2.6/keys/vkey application/json {"encrypted_key":"Vg=="}` {
		t.Error(*asked, err)
	}
	c, asked = serve(t, 200, good(`{"hmac": "00ff", "pubkey": "PEM"}`))
	if mac, _, err := c.VerifyKey(context.Background(), "xyz"); err != nil || mac != "00ff" || *asked != "GET /v2.6/keys/verify?challenge=xyz" {
		t.Error(mac, *asked, err)
	}
	if key, _, err := c.PubKey(context.Background()); err != nil || key != "PEM" || *asked != "GET /v2.6/keys/pubkey" {
		t.Error(key, *asked, err)
	}
	c, _ = serve(t, 200, good(`{}`))
	if _, _, err := c.VerifyKey(context.Background(), "xyz"); client.KindOf(err) != client.Unreadable {
		t.Error(err)
	}
	if _, _, err := c.PubKey(context.Background()); client.KindOf(err) != client.Unreadable {
		t.Error(err)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, 200, good(`{"agent_uuid": "a", "tpm_hash_alg": "sha256", "tpm_enc_alg": "rsa2048", "tpm_sign_alg": "rsassa", "ak_handle": 2164260867}`))
	info, _, err := c.Info(context.Background())
	if err != nil || *info != (agent.Info{AgentID: "a", HashAlg: "sha256", EncAlg: "rsa2048", SignAlg: "rsassa", AKHandle: 0x81000003}) {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestRefusals: an agent's own refusals come with its words.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, 400, `{"code": 400, "status": "Bootstrap key not yet available.", "results": {}}`)
	_, _, identity := c.IdentityQuote(context.Background(), "a")
	_, _, integrity := c.IntegrityQuote(context.Background(), agent.IntegrityRequest{})
	_, _, verify := c.VerifyKey(context.Background(), "a")
	_, _, key := c.PubKey(context.Background())
	_, _, info := c.Info(context.Background())
	_, u := c.PostU(context.Background(), agent.UKeyRequest{})
	_, v := c.PostV(context.Background(), "")
	for _, err := range []error{identity, integrity, verify, key, info, u, v} {
		var e *client.Error
		if !errors.As(err, &e) || e.Kind != client.Refused || e.Reply.Status != "Bootstrap key not yet available." {
			t.Errorf("%v", err)
		}
	}
}

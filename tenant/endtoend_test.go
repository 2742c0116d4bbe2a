package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/agent"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/lab"
)

// onLab makes the use cases over a lab: real TLS, real quotes, an agent that
// really derives its key.
func onLab(t *testing.T) (*tenant.Tenant, string) {
	t.Helper()
	l, err := lab.Up(t.Context(), lab.Options{Interval: 50 * time.Millisecond,
		Env: []string{"PATH=" + os.Getenv("PATH"), "KEYLIME_AGENT_TPM_ENCRYPTION_ALG=ecc", "KEYLIME_AGENT_TPM_SIGNING_ALG=ecdsa"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := filepath.Join(l.Dir(), "cv_ca")
	material, err := client.LoadTLS(client.TLSFiles{CAFiles: []string{filepath.Join(ca, "cacert.crt")},
		CertFile: filepath.Join(ca, "client-cert.crt"), KeyFile: filepath.Join(ca, "client-private.pem")})
	if err != nil {
		t.Fatal(err)
	}
	dial := func(config client.Config) (*client.Client, error) {
		config.TLS, config.Timeout = material, 10*time.Second
		return client.New(config)
	}
	server := func(name, addr string) *client.Client {
		host, text, _ := strings.Cut(addr, ":")
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		c, err := dial(client.Config{Name: name, Host: host, Port: port})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	registrarConn, verifierConn := server(client.RegistrarName, l.RegistrarAddr()), server(client.VerifierName, l.VerifierAddr())
	return &tenant.Tenant{
		Registrar: registrar.New(registrarConn), RegistrarConn: registrarConn,
		Verifier: verifier.New(verifierConn), VerifierConn: verifierConn,
		Dial: func(at tenant.AgentEndpoint) (tenant.Agent, tenant.Connection, func(), error) {
			c, err := dial(client.Config{Name: client.AgentName, Host: at.Host, Port: at.Port, PinnedPEM: at.CertPEM})
			if err != nil {
				return nil, nil, nil, err
			}
			return agent.New(c), c, c.Close, nil
		},
		EK:    tenant.EKRules{RequireCert: true, StoreDir: filepath.Join(l.Dir(), "tpm_cert_store")},
		Retry: tenant.Retry{Max: 50, Base: 1},
		After: func(d time.Duration) <-chan time.Time { return time.After(d / 20) },
	}, l.Agents()[0].ID
}

func TestOnTheLab(t *testing.T) {
	t.Parallel()
	ctx, id := context.Background(), ""
	use, id := onLab(t)
	r := tenant.AddRequest{
		ID: id, AcceptHash: []string{"sha256"}, AcceptEnc: []string{"ecc", "rsa"}, AcceptSign: []string{"ecdsa"},
		Payload:   tenant.PayloadInput{Plain: &tenant.Input{Name: "f", Content: []byte("secret files")}},
		VerifyKey: true, WaitAttested: true,
	}
	added, err := use.Add(ctx, r)
	if err != nil || !added.KeyVerified || added.Attestations == 0 || added.EK != tenant.EKByCertificate {
		t.Fatalf("add: %+v, %v", added, err)
	}
	if _, err := use.Add(ctx, r); !errors.Is(err, tenant.ErrConflict) {
		t.Errorf("add again: %v", err)
	}
	if status, err := use.Status(ctx, id); err != nil || status.Verifier.Health != tenant.HealthHealthy {
		t.Errorf("status: %+v, %v", status, err)
	}

	// A policy that the machine cannot satisfy: the agent is attested as before.
	refused := r
	refused.Policies.TPM = fmt.Sprintf(`{"22": "%s"}`, strings.Repeat("1", 64))
	_, err = use.Update(ctx, tenant.UpdateRequest{AddRequest: refused})
	var refusal *tenant.RefusedError
	if !errors.As(err, &refusal) || refusal.EventID != "pcr_validation.invalid_pcr_22" {
		t.Errorf("update that is refused: %v", err)
	}

	// After a key that was not derived the enrolment stays, stopped.
	if status, err := use.VerifierStatus(ctx, id); err != nil || status.Health != tenant.HealthStopped {
		t.Errorf("after that: %+v, %v", status, err)
	}
	if updated, err := use.Update(ctx, tenant.UpdateRequest{AddRequest: r}); err != nil || !updated.Replaced || !updated.KeyVerified {
		t.Errorf("update: %+v, %v", updated, err)
	}
	refused.VerifyKey = false
	_, err = use.Update(ctx, tenant.UpdateRequest{AddRequest: refused})
	var report *tenant.UndoneError
	if !errors.As(err, &refusal) || !errors.As(err, &report) || !slices.Contains(report.Undone, "the old enrolment was put back") {
		t.Errorf("update that is refused while waiting: %v, %+v", err, report)
	}
	if status, err := use.VerifierStatus(ctx, id); err != nil || status.TPMPolicy != `{"mask": "0x0"}` {
		t.Errorf("after that: %+v, %v", status, err)
	}

	if gone, err := use.Delete(ctx, tenant.DeleteRequest{ID: id, WaitGone: true}); err != nil || gone.Absent {
		t.Errorf("delete: %+v, %v", gone, err)
	}
	if gone, err := use.Delete(ctx, tenant.DeleteRequest{ID: id}); err != nil || !gone.Absent {
		t.Errorf("delete again: %+v, %v", gone, err)
	}
}

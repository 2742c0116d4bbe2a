package doctor_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant/doctor"
	"github.com/keylime/keylime-tenant/tenant/lab"
)

// TestLab: real servers of the lab, in good health, raise no alarm.
func TestLab(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, lab.Options{Dir: t.TempDir(), Agents: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	server := func(addr string) doctor.Server {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		return doctor.Server{Host: host, Port: n}
	}
	dir := filepath.Join(l.Dir(), "cv_ca")
	setup := doctor.Setup{
		Configuration: doctor.Configuration{Files: []string{l.TenantConf()}},
		TLS:           client.TLSFiles{CAFiles: []string{filepath.Join(dir, "cacert.crt")}, CertFile: filepath.Join(dir, "client-cert.crt"), KeyFile: filepath.Join(dir, "client-private.pem"), CheckHostname: true},
		TLSDir:        dir, EnableAgentTLS: true, AgentID: l.Agents()[0].ID, UID: os.Geteuid(),
		Registrar: server(l.RegistrarAddr()), Verifier: server(l.VerifierAddr()),
		EK: doctor.EK{RequireCert: true, StoreDir: filepath.Join(l.Dir(), "tpm_cert_store")},
	}
	report, err := doctor.Run(ctx, setup)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range report.Hops {
		for _, f := range h.Findings {
			if f.Level != doctor.OK && f.Check != doctor.CheckEnrolled {
				t.Errorf("%s: %+v", h.Name, f)
			}
		}
	}
	// The registrar's other port, which speaks plain HTTP.
	setup.AgentID, setup.Registrar = "", server(l.RegistrarPlainAddr())
	report, err = doctor.Run(ctx, setup)
	if class, any := report.Worst(doctor.Problem); err != nil || !any || class != doctor.ClassTLS {
		t.Errorf("%s, %v", class, err)
	}
}

package lab

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/tenant/lab/pki"
	"github.com/keylime/keylime-tenant/tenant/lab/serve"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

// The files of a lab's directory. The folder cv_ca has the names that a real
// verifier gives (PROTOCOL.md 1.3), so that any tenant can use it as tls_dir.
const (
	caFolder    = "cv_ca"
	caCert      = "cv_ca/cacert.crt"
	caKey       = "cv_ca/ca-private.pem"
	serverCert  = "cv_ca/server-cert.crt"
	serverKey   = "cv_ca/server-private.pem"
	clientCert  = "cv_ca/client-cert.crt"
	clientKey   = "cv_ca/client-private.pem"
	ekCAFile    = "ek-ca.pem"
	certStore   = "tpm_cert_store"
	ekCACert    = "tpm_cert_store/lab-ek-ca.pem"
	tenantConf  = "tenant.conf"
	settingFile = "lab.json"
)

func (l *Lab) path(name string) string { return filepath.Join(l.dir, filepath.FromSlash(name)) }

func (l *Lab) caFile() string { return l.path(caCert) }

// settings are what a lab keeps to be the same when it is started again.
type settings struct {
	VerifierPort     int   `json:"verifier_port"`
	RegistrarPort    int   `json:"registrar_port"`
	RegistrarTLSPort int   `json:"registrar_tls_port"`
	AgentPorts       []int `json:"agent_ports"`
	// Push: it is a lab of the push model.
	Push bool `json:"push_model,omitempty"`
}

// agentPort is the port that agent number n had before, 0 for a free one.
func (s settings) agentPort(n int) int {
	if n < len(s.AgentPorts) {
		return s.AgentPorts[n]
	}
	return 0
}

func (l *Lab) loadSettings() error { return serve.LoadState(l.path(settingFile), &l.settings) }

func (l *Lab) saveSettings() error {
	l.settings = settings{VerifierPort: l.verifier.Port(), RegistrarPort: l.registrar.Port(), RegistrarTLSPort: l.registrar.TLSPort(), Push: l.settings.Push}
	for _, m := range l.members {
		l.settings.AgentPorts = append(l.settings.AgentPorts, m.info().Port)
	}
	return serve.SaveState(l.path(settingFile), l.settings)
}

// trust is what everybody in the lab is trusted by.
type trust struct {
	ca     *pki.CA
	server tls.Certificate
	ekCA   *softtpm.EKCA
}

// makeTrust makes the lab's CAs and certificates, or reads those that are there
// already.
func (l *Lab) makeTrust() (t trust, err error) {
	for _, folder := range []string{caFolder, certStore} {
		if err := os.MkdirAll(l.path(folder), 0o700); err != nil {
			return t, fmt.Errorf("lab: %w", err)
		}
	}
	now := time.Now()
	pair, err := l.pair(caCert, caKey, func() (pki.Pair, error) {
		ca, err := pki.NewCA(now)
		if err != nil {
			return pki.Pair{}, err
		}
		return ca.Pair, nil
	})
	if err != nil {
		return t, err
	}
	if t.ca, err = pki.LoadCA(pair); err != nil {
		return t, fmt.Errorf("lab: %s: %w", l.caFile(), err)
	}
	server, err := l.pair(serverCert, serverKey, func() (pki.Pair, error) {
		return t.ca.Server("server", []string{"localhost", host, "::1"}, now)
	})
	if err != nil {
		return t, err
	}
	if t.server, err = server.TLS(); err != nil {
		return t, fmt.Errorf("lab: %s: %w", l.path(serverCert), err)
	}
	if _, err := l.pair(clientCert, clientKey, func() (pki.Pair, error) { return t.ca.Client("client", now) }); err != nil {
		return t, err
	}
	if t.ekCA, err = ekAuthority(l.path(ekCAFile), now); err != nil {
		return t, err
	}
	return t, write(l.path(ekCACert), t.ekCA.CertificatePEM(), 0o644)
}

// pair reads a certificate and its key, or makes both if neither is there.
func (l *Lab) pair(cert, key string, make func() (pki.Pair, error)) (pki.Pair, error) {
	var p pki.Pair
	var errCert, errKey error
	p.CertPEM, errCert = os.ReadFile(l.path(cert))
	p.KeyPEM, errKey = os.ReadFile(l.path(key))
	if !errors.Is(errCert, fs.ErrNotExist) || !errors.Is(errKey, fs.ErrNotExist) {
		return p, errors.Join(errCert, errKey)
	}
	p, err := make()
	if err != nil {
		return p, err
	}
	if err := write(l.path(key), p.KeyPEM, 0o600); err != nil {
		return p, err
	}
	return p, write(l.path(cert), p.CertPEM, 0o644)
}

// ekAuthority reads the CA of EK certificates, or makes it.
func ekAuthority(path string, now time.Time) (*softtpm.EKCA, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		ca, err := softtpm.LoadEKCA(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return ca, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the lab's EK authority: %w", err)
	}
	ca, err := softtpm.NewEKCA(now)
	if err != nil {
		return nil, fmt.Errorf("the lab's EK authority: %w", err)
	}
	if text, err = ca.MarshalPEM(); err != nil {
		return nil, fmt.Errorf("the lab's EK authority: %w", err)
	}
	return ca, write(path, text, 0o600)
}

// write writes a file under a temporary name and renames it.
func write(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// TenantConf is the path of the tenant.conf that points at the lab.
func (l *Lab) TenantConf() string { return l.path(tenantConf) }

// writeTenantConf writes a tenant.conf with every option, for ours and for the
// Python tenant alike.
func (l *Lab) writeTenantConf() error {
	quote := func(path string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(path) + "'"
	}
	lines := []string{
		"# Written by the lab at its start; it points at the lab and is not read by anything else.",
		"[tenant]",
		"version = 2.6",
		"verifier_ip = " + host,
		fmt.Sprintf("verifier_port = %d", l.verifier.Port()),
		"registrar_ip = " + host,
		fmt.Sprintf("registrar_port = %d", l.registrar.TLSPort()),
		"tls_dir = " + l.path(caFolder),
		"enable_agent_mtls = True",
		"client_key = default",
		"client_key_password =",
		"client_cert = default",
		"trusted_server_ca = [" + quote(l.caFile()) + "]",
		"tpm_cert_store = " + l.path(certStore),
		"max_payload_size = 1048576",
		"accept_tpm_hash_algs = ['sha512', 'sha384', 'sha256']",
		"accept_tpm_encryption_algs = ['ecc', 'rsa']",
		"accept_tpm_signing_algs = ['ecschnorr', 'rsassa', 'ecdsa']",
		"exponential_backoff = False",
		"retry_interval = 0.2",
		"max_retries = 50",
		"request_timeout = 20",
		"require_ek_cert = True",
		"ek_check_script =",
		"mb_refstate =",
		"",
	}
	return write(l.TenantConf(), []byte(strings.Join(lines, "\n")), 0o600)
}

// agentConf is the text of an agent's agent.conf.
func agentConf(options [][2]string) []byte {
	lines := []string{
		"# Written by the lab at its start. Put your own options into agent.conf.d/*.conf: they win.",
		"[agent]",
	}
	for _, o := range options {
		lines = append(lines, o[0]+" = "+o[1])
	}
	return []byte(strings.Join(slices.Concat(lines, []string{""}), "\n"))
}

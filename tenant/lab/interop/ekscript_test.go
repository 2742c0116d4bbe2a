//go:build interop

package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// issue makes a certificate; a nil issuer signs itself. change spoils it.
func issue(t *testing.T, name string, issuer *authority, ca bool, change func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: ca,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	if ca {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	if change != nil {
		change(template)
	}
	signer, parent := crypto.Signer(key), template
	if issuer != nil {
		signer, parent = issuer.key, issuer.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, key}
}

// TestToolsEKScript: our ek-openssl-verify ends as `openssl verify
// -partial_chain` does with each file of the store, on certificates of every
// kind.
func TestToolsEKScript(t *testing.T) {
	t.Parallel()
	b := newToolBench(t)
	past := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	future := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }
	root := issue(t, "root", nil, true, nil)
	middle := issue(t, "middle", root, true, nil)
	impostor := issue(t, "middle", nil, true, nil)
	old := issue(t, "old", root, true, past)
	mute := issue(t, "mute", root, true, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	nobody := issue(t, "nobody", root, false, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	leaf := func(issuer *authority, change func(*x509.Certificate)) string {
		return string(issue(t, "TPM", issuer, false, change).cert.Raw)
	}
	swtpm, chain := readText(t, evidencePath(t, "sb-on", "ek_cert.der")), readText(t, evidencePath(t, "sb-on", "ek_ca_chain.pem"))
	for _, c := range []struct {
		name, cert string
		store      map[string]string
	}{
		{"swtpm", swtpm, map[string]string{"chain.pem": chain}},
		{"swtpm, other store", swtpm, map[string]string{"root.pem": root.pem()}},
		{"root", leaf(root, nil), map[string]string{"root.pem": root.pem()}},
		{"intermediate alone", leaf(middle, nil), map[string]string{"middle.pem": middle.pem()}},
		{"intermediate and root in a file", leaf(middle, nil), map[string]string{"both.pem": middle.pem() + root.pem()}},
		{"root without the intermediate", leaf(middle, nil), map[string]string{"root.pem": root.pem()}},
		{"the second file", leaf(middle, nil), map[string]string{"a.pem": root.pem(), "b.pem": middle.pem()}},
		{"another of the same name", leaf(middle, nil), map[string]string{"a.pem": impostor.pem()}},
		{"both of the same name", leaf(middle, nil), map[string]string{"a.pem": impostor.pem(), "b.pem": middle.pem()}},
		{"not a .pem", leaf(root, nil), map[string]string{"root.crt": root.pem()}},
		{"empty store", leaf(root, nil), nil},
		{"expired", leaf(root, past), map[string]string{"root.pem": root.pem()}},
		{"not yet valid", leaf(root, future), map[string]string{"root.pem": root.pem()}},
		{"issuer expired", leaf(old, nil), map[string]string{"old.pem": old.pem()}},
		{"issuer may not sign", leaf(mute, nil), map[string]string{"mute.pem": mute.pem()}},
		{"issuer is no authority", leaf(nobody, nil), map[string]string{"nobody.pem": nobody.pem()}},
		{"rubbish beside", leaf(root, nil), map[string]string{"a.pem": "hello", "root.pem": root.pem()}},
		{"no certificate", "hello", map[string]string{"root.pem": root.pem()}},
	} {
		dir := t.TempDir()
		store := filepath.Join(dir, "store")
		must(t, os.Mkdir(store, 0o755))
		for name, text := range c.store {
			must(t, os.WriteFile(filepath.Join(store, name), []byte(text), 0o644))
		}
		file := filepath.Join(dir, "ek.pem")
		must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(c.cert)}), 0o644))
		want := 1
		for name := range c.store {
			if strings.HasSuffix(name, ".pem") && exec.Command("openssl", "verify", "-partial_chain", "-CAfile", filepath.Join(store, name), file).Run() == nil {
				want = 0
			}
		}
		b.env = append(b.env, "TPM_CERT_STORE="+store, "EK_VERIFICATION_LOG="+filepath.Join(dir, "log"), "EK_CERT="+base64.StdEncoding.EncodeToString([]byte(c.cert)))
		ours := b.mine(t, "ek-openssl-verify")
		t.Logf("%s: %d", c.name, want)
		if ours.code != want {
			t.Errorf("%s: exit code %d, openssl says %d\n%s", c.name, ours.code, want, ours.err)
		}
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// TestEKScriptOfTenants: a link named ek-openssl-verify is a good
// ek_check_script for the Python tenant and for ours, and refuses for both.
func TestEKScriptOfTenants(t *testing.T) {
	t.Parallel()
	i := installed(t)
	dir := t.TempDir()
	link := filepath.Join(dir, "ek-openssl-verify")
	must(t, os.Symlink(i.binary, link))
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	script := filepath.Join(dir, "walk.sh")
	must(t, os.WriteFile(script, []byte(`set -eu
export KEYLIME_LOGGING_CONFIG="`+filepath.Join(i.dir, "conf/logging.conf")+`" KEYLIME_CA_CONFIG="`+filepath.Join(i.dir, "conf/ca.conf")+`" KEYLIME_DIR="$LAB_DIR" PYTHONWARNINGS=ignore
export KEYLIME_TENANT_REQUIRE_EK_CERT=False KEYLIME_TENANT_EK_CHECK_SCRIPT="`+link+`" EK_VERIFICATION_LOG="`+dir+`/log"
for T in "`+i.tool("keylime_tenant")+`" "`+i.binary+`"; do
	: > "`+dir+`/log"
	"$T" -c add -u "$LAB_AGENT" -t 127.0.0.1
	grep 'successfully verified by' "`+dir+`/log"
	"$T" -c delete -u "$LAB_AGENT" -t 127.0.0.1
	if KEYLIME_TENANT_TPM_CERT_STORE="`+dir+`/empty" "$T" -c add -u "$LAB_AGENT" -t 127.0.0.1; then exit 3; fi
	grep 'ERROR: EK signature did not match certificates from TPM cert store' "`+dir+`/log"
	echo "walked with $T"
done
`), 0o600))
	r := run(t, 3*time.Minute, os.Environ(), dir, i.binary, "lab", "run", "--", "sh", script)
	r.want(t, 0, "walked with "+i.tool("keylime_tenant"), "walked with "+i.binary)
}

package pki_test

import (
	"crypto/x509"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/lab/pki"
)

func TestCAIssues(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca, err := pki.NewCA(now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pki.LoadCA(ca.Pair)
	if err != nil {
		t.Fatal(err)
	}
	server, err := again.Server("server", []string{"localhost", "127.0.0.1", "localhost"}, now)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.Client("client", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		pair  pki.Pair
		usage x509.ExtKeyUsage
		good  bool
	}{
		{"server as server", server, x509.ExtKeyUsageServerAuth, true},
		{"client as client", client, x509.ExtKeyUsageClientAuth, true},
		{"client as server", client, x509.ExtKeyUsageServerAuth, false},
		{"server as client", server, x509.ExtKeyUsageClientAuth, false},
	} {
		both, err := c.pair.TLS()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_, err = both.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: []x509.ExtKeyUsage{c.usage}})
		if (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	both, _ := server.TLS()
	if got := both.Leaf.DNSNames; !slices.Equal(got, []string{"localhost"}) {
		t.Errorf("DNS names %q", got)
	}
}

func TestSelfSignedIsTheAgentsShape(t *testing.T) {
	t.Parallel()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pki.SelfSigned("agent-1", key, []string{"192.0.2.7"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	both, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	cert := both.Leaf
	if cert.Subject.CommonName != "agent-1" || cert.Issuer.CommonName != "agent-1" {
		t.Errorf("subject %s, issuer %s", cert.Subject, cert.Issuer)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Errorf("the signature does not cover the names: %v", err)
	}
	if !slices.Equal(cert.DNSNames, []string{"localhost", "localhost.domain"}) || !slices.ContainsFunc(cert.IPAddresses, net.IPv4(192, 0, 2, 7).Equal) {
		t.Errorf("names %q, addresses %v", cert.DNSNames, cert.IPAddresses)
	}
}

func TestLoadCARefuses(t *testing.T) {
	t.Parallel()
	ca, err := pki.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Client("client", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]pki.Pair{
		"a leaf":      leaf,
		"mixed":       {CertPEM: ca.CertPEM, KeyPEM: leaf.KeyPEM},
		"nothing":     {},
		"not PEM":     {CertPEM: []byte("x"), KeyPEM: []byte("y")},
		"key missing": {CertPEM: ca.CertPEM},
	} {
		if _, err := pki.LoadCA(pair); err == nil {
			t.Errorf("%s was taken for a CA", name)
		}
	}
}

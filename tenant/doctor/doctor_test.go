package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/client/pkitest"
	"github.com/keylime/keylime-tenant/client/registrar"
)

const (
	onConfiguration = "configuration"
	onRegistrar     = "registrar"
	onVerifier      = "verifier"
	onAgent         = "agent"
	onBoth          = "registrar and verifier"
)

// TestHealthy: a set-up without a fault has no finding above a note, and
// everything was looked at.
func TestHealthy(t *testing.T) {
	t.Parallel()
	report := newWorld(t).run()
	for _, h := range report.Hops {
		for _, f := range h.Findings {
			if f.Level != OK || f.Unchecked {
				t.Errorf("%s: %+v", h.Name, f)
			}
		}
	}
	want := map[string]int{onConfiguration: 18, onRegistrar: 15, onVerifier: 15, onAgent: 16, onBoth: 1}
	for _, h := range report.Hops {
		if len(h.Findings) < want[h.Name] {
			t.Errorf("%s: only %d checks", h.Name, len(h.Findings))
		}
	}
	if class, any := report.Worst(Problem); any || len(report.Hops) != len(want) {
		t.Error(class, len(report.Hops))
	}
}

// TestHealthyOtherwise: other ways to be healthy are no faults either.
func TestHealthyOtherwise(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world){
		"servers that insist on a certificate": func(w *world) {
			w.registrar.auth, w.verifier.auth = tls.RequireAndVerifyClientCert, tls.RequireAndVerifyClientCert
		},
		"TLS 1.2": func(w *world) {
			w.registrar.newest, w.verifier.newest, w.agent.newest = tls.VersionTLS12, tls.VersionTLS12, tls.VersionTLS12
		},
		"TLS 1.2, certificate insisted": func(w *world) {
			w.registrar.newest, w.registrar.auth = tls.VersionTLS12, tls.RequireAndVerifyClientCert
		},
		"two CAs in one file": func(w *world) {
			w.write("cacert.crt", pkitest.CertPEM(pkitest.NewAuthority(w.t, "old", nil).Cert)+pkitest.CertPEM(w.ca.Cert), 0o644)
		},
		"key for a group":   func(w *world) { w.chmod("client-private.pem", 0o640) },
		"a revocation list": func(w *world) { w.writeList(time.Hour, big.NewInt(99)) },
		"names checked":     func(w *world) { w.setup.TLS.CheckHostname = true },
		"an intermediate CA": func(w *world) {
			middle := w.ca.Issue(w.t, "middle", func(c *x509.Certificate) {
				c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.SubjectKeyId = true, true, x509.KeyUsageCertSign, []byte{7}
			})
			w.verifier.cert, w.verifier.chain = middle.Issue(w.t, "server", nil), []*x509.Certificate{middle.Cert}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			change(w)
			report := w.run()
			for _, h := range report.Hops {
				for _, f := range h.Findings {
					if f.Level != OK || f.Unchecked {
						t.Errorf("%s: %+v", h.Name, f)
					}
				}
			}
		})
	}
}

// fault is something planted, and the finding that must come of it.
type fault struct {
	name  string
	plant func(w *world)
	hop   string
	check Check
	level Level
	class Class
	// says must be in the finding.
	says string
}

// TestFaults plants one fault at a time.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range append(append(configurationFaults(), serverFaults()...), agentFaults()...) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.plant(w)
			report := w.run()
			var found *Finding
			for _, f := range find(report, test.hop, test.check) {
				if f.Level == test.level && f.Class == test.class && !f.Unchecked && strings.Contains(fmt.Sprintf("%s\n%s\n%s\n%s", f.Seen, f.Why, f.Fix, f.Command), test.says) {
					found = &f
				}
			}
			if found == nil {
				t.Fatalf("no finding %s %s on %s that says %q:\n%s", test.level, test.check, test.hop, test.says, dump(report))
			}
			if found.Level != Note && (found.Fix == "" || found.Seen == "") || found.Level == Problem && found.Why == "" {
				t.Errorf("not all is said: %+v", found)
			}
			for _, h := range report.Hops {
				for _, f := range h.Findings {
					if f.Level == OK && f.Check == test.check && h.Name == test.hop && test.check != CheckCAFile && test.check != CheckConfigFiles {
						t.Errorf("the same check is said to have passed: %+v", f)
					}
				}
			}
		})
	}
}

func dump(r *Report) string {
	var b strings.Builder
	for _, h := range r.Hops {
		for _, f := range h.Findings {
			if f.Level != OK {
				fmt.Fprintf(&b, "%s: %s %s %s: %s | %s | %s | %s unchecked=%t\n", h.Name, f.Level, f.Check, f.Class, f.Seen, f.Why, f.Fix, f.Command, f.Unchecked)
			}
		}
	}
	return b.String()
}

func configurationFaults() []fault {
	return []fault{
		{"configuration unreadable", func(w *world) {
			w.setup.Configuration.Trouble = &Trouble{"tenant.conf:3: require_ek_cert = \"Ture\": not a boolean", "write True or False"}
		},
			onConfiguration, CheckConfig, Problem, ClassConfiguration, "Ture"},
		{"no tenant.conf", func(w *world) { w.setup.Configuration.Files = nil }, onConfiguration, CheckConfigFiles, Note, ClassConfiguration, "defaults"},
		{"unknown option", func(w *world) {
			w.setup.Configuration.Warnings = []Trouble{{"tenant.conf:3: [tenant] has no option x", "did you mean y?"}}
		},
			onConfiguration, CheckConfigWarning, Warning, ClassConfiguration, "did you mean"},
		{"password open to all", func(w *world) {
			w.setup.Configuration.PasswordFile = w.path("tenant.conf")
			w.chmod("tenant.conf", 0o644)
		},
			onConfiguration, CheckConfigMode, Problem, ClassConfiguration, "chmod o-rwx"},
		{"TLS options unusable", func(w *world) { w.setup.Configuration.TLSTrouble = &Trouble{"tls_dir = generate", "set it to default"} },
			onConfiguration, CheckTLSOptions, Problem, ClassConfiguration, "generate"},
		{"CA file missing", func(w *world) { w.remove("cacert.crt") }, onConfiguration, CheckCAFile, Problem, ClassConfiguration, "no such file"},
		{"CA file empty", func(w *world) { w.write("cacert.crt", "", 0o644) }, onConfiguration, CheckCAFile, Problem, ClassConfiguration, "no PEM certificate"},
		{"no CA configured", func(w *world) { w.setup.TLS.CAFiles = nil }, onConfiguration, CheckCAFile, Problem, ClassConfiguration, "names no file"},
		{"verification switched off", func(w *world) { w.setup.TLS.InsecureSkipServer = true }, onConfiguration, CheckCAFile, Warning, ClassTLS, "not verified"},
		{"CA expired", func(w *world) {
			w.setup.Now = func() time.Time { return time.Now().AddDate(2, 0, 0) }
		}, onConfiguration, CheckCADates, Problem, ClassTLS, "expired"},
		{"a server's certificate as CA", func(w *world) { w.write("cacert.crt", pkitest.CertPEM(w.registrar.cert.Cert), 0o644) }, onConfiguration, CheckCAKind, Problem, ClassTLS, "not a CA"},
		{"CA file open to all", func(w *world) { w.chmod("cacert.crt", 0o666) }, onConfiguration, CheckCAMode, Problem, ClassConfiguration, "chmod o-w"},
		{"TLS directory open to all", func(w *world) {
			w.write("tls/cacert.crt", pkitest.CertPEM(w.ca.Cert), 0o644)
			w.setup.TLSDir = w.path("tls")
			w.chmod("tls", 0o777)
		}, onConfiguration, CheckTLSDirMode, Problem, ClassConfiguration, "0777"},
		{"client certificate missing", func(w *world) { w.remove("client-cert.crt") }, onConfiguration, CheckClientCert, Problem, ClassConfiguration, "no such file"},
		{"client certificate expired", func(w *world) { w.renewClient(w.ca, expired) }, onConfiguration, CheckClientDates, Problem, ClassTLS, "expired"},
		{"client certificate expires soon", func(w *world) { w.renewClient(w.ca, ending) }, onConfiguration, CheckClientDates, Warning, ClassTLS, "in 8 days"},
		{"client certificate not yet valid", func(w *world) { w.renewClient(w.ca, future) }, onConfiguration, CheckClientDates, Problem, ClassTLS, "clock of this machine"},
		{"client certificate without a name", func(w *world) { w.renewClient(w.ca, func(c *x509.Certificate) { c.Subject.CommonName = "" }) },
			onConfiguration, CheckClientName, Problem, ClassTLS, "403"},
		{"client certificate without AKI", func(w *world) { w.renewClient(w.ca, pkitest.NoAKI) }, onConfiguration, CheckClientAKI, Warning, ClassTLS, "3.2.2"},
		{"client certificate of the CA before it was made anew", func(w *world) { w.renewClient(pkitest.NewAuthority(w.t, "Keylime Certificate Authority", nil), nil) },
			onConfiguration, CheckClientIssuer, Warning, ClassTLS, "made anew"},
		{"client certificate of another CA", func(w *world) { w.renewClient(pkitest.NewAuthority(w.t, "Other", nil), nil) }, onConfiguration, CheckClientIssuer, Note, ClassTLS, "Other"},
		{"key missing", func(w *world) { w.remove("client-private.pem") }, onConfiguration, CheckClientKey, Problem, ClassConfiguration, "no such file"},
		{"key encrypted", func(w *world) {
			w.write("client-private.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n", 0o600)
		},
			onConfiguration, CheckClientKey, Problem, ClassConfiguration, "client_key_password"},
		{"key of another certificate", func(w *world) { w.write("client-private.pem", w.ca.Issue(w.t, "x", nil).KeyPEM(w.t), 0o600) },
			onConfiguration, CheckKeyMatch, Problem, ClassConfiguration, "does not belong"},
		{"key readable by all", func(w *world) { w.chmod("client-private.pem", 0o644) }, onConfiguration, CheckKeyMode, Problem, ClassConfiguration, "chmod o-rwx"},
		{"our certificate revoked", func(w *world) { w.writeList(time.Hour, w.client.Cert.SerialNumber) }, onConfiguration, CheckCRL, Problem, ClassTLS, "on the revocation list"},
		{"revocation list out of date", func(w *world) {
			w.writeList(2*time.Hour, nil)
			w.setup.Now = func() time.Time { return time.Now().Add(3 * time.Hour) }
		}, onConfiguration, CheckCRL, Warning, ClassTLS, "ca renew-crl"},
		{"revocation list of Keylime's own making", func(w *world) { w.writeList(time.Nanosecond, nil) }, onConfiguration, CheckCRL, Note, ClassTLS, "out of date when it was written"},
		{"revocation list of another CA", func(w *world) {
			ca := w.ca
			w.ca = pkitest.NewAuthority(w.t, "x", nil)
			w.writeList(time.Hour, nil)
			w.ca = ca
		}, onConfiguration, CheckCRL, Note, ClassTLS, "left over"},
		{"revocation list damaged", func(w *world) { w.write("cacrl.der", "x", 0o644) }, onConfiguration, CheckCRL, Warning, ClassTLS, "cannot be read"},
		{"agents without TLS", func(w *world) { w.setup.EnableAgentTLS = false }, onConfiguration, CheckAgentTLSOption, Warning, ClassConfiguration, "enable_agent_mtls = True"},
		{"nothing vouches for TPMs", func(w *world) { w.setup.EK.RequireCert = false }, onConfiguration, CheckEKRule, Warning, ClassConfiguration, "require_ek_cert = True"},
		{"EK store missing", func(w *world) { w.setup.EK.StoreDir = w.path("nowhere") }, onConfiguration, CheckEKStore, Problem, ClassConfiguration, "no such file"},
		{"EK store empty", func(w *world) { w.remove("store/maker.pem") }, onConfiguration, CheckEKStore, Problem, ClassConfiguration, "holds no certificate"},
		{"EK store not needed", func(w *world) { w.setup.EK.RequireCert = false; w.remove("store/maker.pem") }, onConfiguration, CheckEKStore, Note, ClassConfiguration, "holds no certificate"},
		{"EK store with a .crt", func(w *world) { w.write("store/other.crt", pkitest.CertPEM(w.ca.Cert), 0o644) }, onConfiguration, CheckEKStoreFiles, Warning, ClassConfiguration, "ek trust add"},
		{"EK store with a broken file", func(w *world) { w.write("store/broken.pem", "x", 0o644) }, onConfiguration, CheckEKStoreFiles, Warning, ClassConfiguration, "broken.pem"},
		{"EK store with an expired certificate", func(w *world) {
			w.write("store/old.pem", pkitest.CertPEM(pkitest.NewAuthority(w.t, "old", expired).Cert), 0o644)
		},
			onConfiguration, CheckEKStoreDates, Warning, ClassTLS, "old.pem has expired"},
		{"EK store with a certificate about to expire", func(w *world) {
			w.write("store/old.pem", pkitest.CertPEM(pkitest.NewAuthority(w.t, "old", ending).Cert), 0o644)
		},
			onConfiguration, CheckEKStoreDates, Warning, ClassTLS, "about to expire"},
		{"EK store open to all", func(w *world) { w.chmod("store", 0o777) }, onConfiguration, CheckEKStoreMode, Problem, ClassConfiguration, "chmod o-w"},
		{"pins missing", func(w *world) { w.setup.EK.Require = "pin" }, onConfiguration, CheckEKPins, Problem, ClassConfiguration, "ek pin add"},
		{"pins malformed", func(w *world) { w.setup.EK.Require = "either"; w.write("ek_pins.txt", "x\n", 0o644) }, onConfiguration, CheckEKPins, Problem, ClassConfiguration, "line 1"},
		{"pins open to all", func(w *world) {
			w.setup.EK.Require = "both"
			w.write("ek_pins.txt", strings.Repeat("ab", 32)+"\n", 0o666)
		}, onConfiguration, CheckEKPinsMode, Problem, ClassConfiguration, "chmod o-w"},
		{"script missing", func(w *world) { w.setup.EK.Script = w.path("script") }, onConfiguration, CheckEKScript, Problem, ClassConfiguration, "no such file"},
		{"script not executable", func(w *world) { w.write("script", "", 0o644); w.setup.EK.Script = w.path("script") },
			onConfiguration, CheckEKScript, Problem, ClassConfiguration, "chmod +x"},
		{"script open to all", func(w *world) { w.write("script", "", 0o777); w.setup.EK.Script = w.path("script") },
			onConfiguration, CheckEKScriptMode, Problem, ClassConfiguration, "chmod o-w"},
	}
}

// writeList writes a revocation list that holds for a time from now.
func (w *world) writeList(holds time.Duration, serial *big.Int) {
	w.t.Helper()
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(holds)}
	if holds < time.Second {
		list.NextUpdate = list.ThisUpdate
	}
	if serial != nil {
		list.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: serial, RevocationTime: now}}
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, w.ca.Cert, w.ca.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("cacrl.der", string(der), 0o644)
}

func serverFaults() []fault {
	const name = "Keylime Certificate Authority"
	return []fault{
		{"host unknown", func(w *world) {
			w.late = append(w.late, func() { w.setup.Registrar.Host = "nowhere.invalid" })
			w.setup.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no resolver") }}
		}, onRegistrar, CheckName, Problem, ClassNetwork, "registrar_ip"},
		{"host is a URL", func(w *world) { w.late = append(w.late, func() { w.setup.Verifier.Host = "https://verifier" }) }, onVerifier, CheckAddress, Problem, ClassConfiguration, "verifier_ip"},
		{"port closed", func(w *world) { w.late = append(w.late, func() { w.setup.Registrar.Port = closedPort(w.t) }) }, onRegistrar, CheckTCP, Problem, ClassNetwork, "systemctl status keylime_registrar"},
		{"the registrar's port for agents", func(w *world) { w.registrar.plain = true }, onRegistrar, CheckTLSSpoken, Problem, ClassTLS, "8891"},
		{"something that is not TLS", func(w *world) {
			w.verifier.raw = func(c net.Conn) { _, _ = c.Write([]byte("220 mail ESMTP\r\n")); _ = c.Close() }
		},
			onVerifier, CheckTLSSpoken, Problem, ClassTLS, "not TLS"},
		{"a server that closes", func(w *world) { w.verifier.raw = func(c net.Conn) { _ = c.Close() } }, onVerifier, CheckTLSSpoken, Problem, ClassTLS, "when TLS begins"},
		{"a server that says nothing", func(w *world) {
			w.setup.Limit = 100 * time.Millisecond
			w.verifier.raw = func(c net.Conn) { w.t.Cleanup(func() { _ = c.Close() }) }
		}, onVerifier, CheckTLSSpoken, Problem, ClassNetwork, "says nothing"},
		{"a server that stalls", func(w *world) { w.setup.Limit = 300 * time.Millisecond; w.registrar.stall = true }, onRegistrar, CheckVersions, Problem, ClassNetwork, "does not answer"},
		{"TLS 1.0 only", func(w *world) { w.registrar.newest = tls.VersionTLS10 }, onRegistrar, CheckTLSVersion, Problem, ClassTLS, "TLS 1.0"},
		{"the CA was made anew", func(w *world) { w.verifier.cert = pkitest.NewAuthority(w.t, name, nil).Issue(w.t, "server", nil) }, onVerifier, CheckChain, Problem, ClassTLS, "made anew"},
		{"a wrong CA", func(w *world) {
			w.registrar.cert = pkitest.NewAuthority(w.t, "Other CA", nil).Issue(w.t, "server", nil)
		}, onRegistrar, CheckChain, Problem, ClassTLS, "trusted_server_ca"},
		{"the right CA lies elsewhere", func(w *world) {
			ca := pkitest.NewAuthority(w.t, "Other CA", nil)
			w.registrar.cert = ca.Issue(w.t, "server", nil)
			w.write("reg_ca/cacert.crt", pkitest.CertPEM(ca.Cert), 0o644)
			w.setup.OtherCAs = []string{w.path("nowhere"), w.path("reg_ca/cacert.crt")}
		}, onRegistrar, CheckChain, Problem, ClassTLS, "reg_ca/cacert.crt: set trusted_server_ca"},
		{"an agent's port", func(w *world) {
			self := pkitest.NewAuthority(w.t, "agent", nil)
			w.verifier.cert = self
		},
			onVerifier, CheckChain, Problem, ClassTLS, "agents have such"},
		{"a certificate for clients", func(w *world) {
			w.verifier.cert = w.ca.Issue(w.t, "x", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		}, onVerifier, CheckChain, Problem, ClassTLS, "extended key usage"},
		{"server certificate expired", func(w *world) { w.registrar.cert = w.ca.Issue(w.t, "x", expired) }, onRegistrar, CheckServerDates, Problem, ClassTLS, "expired on"},
		{"server certificate expires soon", func(w *world) { w.registrar.cert = w.ca.Issue(w.t, "x", ending) }, onRegistrar, CheckServerDates, Warning, ClassTLS, "from then on"},
		{"server certificate not yet valid", func(w *world) { w.registrar.cert = w.ca.Issue(w.t, "x", future) }, onRegistrar, CheckServerDates, Problem, ClassTLS, "not valid before"},
		{"another name", func(w *world) { w.registrar.cert = w.ca.Issue(w.t, "x", otherName) }, onRegistrar, CheckSAN, Note, ClassTLS, "somewhere"},
		{"another name, and names are checked", func(w *world) { w.registrar.cert = w.ca.Issue(w.t, "x", otherName); w.setup.TLS.CheckHostname = true },
			onRegistrar, CheckSAN, Problem, ClassTLS, "check_hostname is on"},
		{"server certificate without AKI", func(w *world) { w.registrar.cert = w.ca.Issue(w.t, "x", pkitest.NoAKI) }, onRegistrar, CheckAKI, Warning, ClassTLS, "Missing Authority Key Identifier"},
		{"server certificate revoked", func(w *world) { w.writeList(time.Hour, w.verifier.cert.Cert.SerialNumber) }, onVerifier, CheckRevoked, Problem, ClassTLS, "on the revocation list"},
		{"no client certificate asked for", func(w *world) { w.verifier.auth = tls.NoClientCert }, onVerifier, CheckClientAsked, Problem, ClassTLS, "does not ask"},
		{"a registrar that needs no client certificate", func(w *world) { w.registrar.open = true }, onRegistrar, CheckClientRequired, Problem, ClassTLS, "CVE-2026-1709"},
		{"a verifier that needs no client certificate", func(w *world) { w.verifier.open = true }, onVerifier, CheckClientRequired, Problem, ClassTLS, "to anybody"},
		{"a server that refuses our CA", func(w *world) { w.verifier.clientCAs = []*pair{pkitest.NewAuthority(w.t, "Theirs", nil)} }, onVerifier, CheckClientAccepted, Problem, ClassTLS, "\"Theirs\""},
		{"a client certificate of the old CA", func(w *world) { w.renewClient(pkitest.NewAuthority(w.t, name, nil), nil) }, onVerifier, CheckClientAccepted, Problem, ClassTLS, "the CA was made anew"},
		{"a client certificate that is no administrator's", func(w *world) { w.renewClient(w.ca, func(c *x509.Certificate) { c.Subject.CommonName = "" }) },
			onVerifier, CheckClientAccepted, Problem, ClassTLS, "common name"},
		{"no version in common", func(w *world) { w.verifier.versions = []string{"1.0"} }, onVerifier, CheckVersions, Problem, ClassOther, "no API version"},
		{"versions not told", func(w *world) { w.registrar.status = 404 }, onRegistrar, CheckVersions, Warning, ClassOther, "old registrars"},
		{"a registrar that must be tried", func(w *world) { w.registrar.takes = "2.1" }, onRegistrar, CheckVersions, Note, ClassOther, "takes is 2.1"},
		{"a registrar of that age", func(w *world) { w.registrar.takes = "2.1" }, onRegistrar, CheckRelease, Warning, ClassOther, "CVE-2025-13609"},
		{"a verifier of the push model", func(w *world) { w.verifier.status = 410 }, onVerifier, CheckPushMode, Note, ClassOther, "--push-model"},
		{"an old registrar", func(w *world) { w.registrar.versions = []string{"2.0", "2.1", "2.2", "2.3", "2.4"} }, onRegistrar, CheckRelease, Warning, ClassOther, "CVE-2025-13609"},
		{"an old verifier", func(w *world) { w.verifier.versions = []string{"2.0", "2.1"} }, onVerifier, CheckRelease, Note, ClassOther, "CVE-2022-3500"},
		{"a very old verifier", func(w *world) { w.verifier.versions = []string{"2.0"} }, onVerifier, CheckRelease, Warning, ClassOther, "CVE-2022-1053"},
		{"a verifier that may be of 7.14.0", func(w *world) { w.verifier.versions = []string{"2.5"} }, onVerifier, CheckRelease, Note, ClassOther, "CVE-2026-6420"},
		{"clock ahead", func(w *world) { w.registrar.off = 2 * time.Minute }, onRegistrar, CheckClock, Warning, ClassOther, "ahead of"},
		{"clock far behind", func(w *world) { w.verifier.off = -time.Hour }, onVerifier, CheckClock, Problem, ClassOther, "behind ours"},
		{"two CAs", func(w *world) {
			ca := pkitest.NewAuthority(w.t, "Registrar CA", nil)
			w.registrar.cert = ca.Issue(w.t, "server", nil)
			w.write("cacert.crt", pkitest.CertPEM(w.ca.Cert)+pkitest.CertPEM(ca.Cert), 0o644)
		}, onBoth, CheckSameCA, Note, ClassTLS, "both trusted"},
		{"two CAs, one of them not trusted", func(w *world) { w.registrar.cert = pkitest.NewAuthority(w.t, name, nil).Issue(w.t, "server", nil) }, onBoth, CheckSameCA, Warning, ClassTLS, "tls_dir = default"},
	}
}

func otherName(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"somewhere"} }

// closedPort is a port on which nobody listens.
func closedPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func agentFaults() []fault {
	return []fault{
		{"agent not registered", func(w *world) { w.registrar.records = map[string]any{} }, onAgent, CheckRegistered, Problem, ClassOther, "keylime_tenant reglist"},
		{"agent that is enrolled, but not registered", func(w *world) { w.registrar.records = map[string]any{"other": 1} }, onAgent, CheckEnrolled, Note, ClassOther, "deleted from the verifier too"},
		{"agent registered twice", func(w *world) { w.record["regcount"] = 2 }, onAgent, CheckRegCount, Warning, ClassOther, "CVE-2025-13609"},
		{"agent not enrolled", func(w *world) { w.verifier.records = map[string]any{} }, onAgent, CheckEnrolled, Note, ClassOther, "keylime_tenant add"},
		{"agent without address", func(w *world) { w.record["ip"] = nil }, onAgent, CheckAgentAddress, Note, ClassOther, "--push-model"},
		{"agent without TLS", func(w *world) { w.record["mtls_cert"] = nil }, onAgent, CheckAgentTLS, Problem, ClassTLS, "enable_agent_mtls = true"},
		{"agent with TLS switched off", func(w *world) { w.record["mtls_cert"] = "disabled"; w.setup.EnableAgentTLS = false }, onAgent, CheckAgentTLS, Warning, ClassTLS, "in the clear"},
		{"agent with another certificate", func(w *world) { w.record["mtls_cert"] = pkitest.CertPEM(pkitest.NewAuthority(w.t, agentID, nil).Cert) }, onAgent, CheckAgentPin, Problem, ClassTLS, "but registered"},
		{"agent with a certificate that cannot be read", func(w *world) { w.record["mtls_cert"] = "x" }, onAgent, CheckAgentPin, Problem, ClassTLS, "cannot be read"},
		{"agent's certificate expired", func(w *world) {
			self := pkitest.NewAuthority(w.t, agentID, expired)
			w.agent.cert, w.record["mtls_cert"] = self, pkitest.CertPEM(self.Cert)
		}, onAgent, CheckServerDates, Problem, ClassTLS, "server-cert.crt"},
		{"agent that obeys anybody", func(w *world) { w.agent.auth = tls.RequestClientCert }, onAgent, CheckClientRequired, Problem, ClassTLS, "without a client certificate"},
		{"agent that refuses our CA", func(w *world) { w.agent.clientCAs = []*pair{pkitest.NewAuthority(w.t, "x", nil)} }, onAgent, CheckClientAccepted, Problem, ClassTLS, "trusted_client_ca in its agent.conf"},
		{"agent that is down", func(w *world) { w.late = append(w.late, func() { w.record["port"] = closedPort(w.t) }) }, onAgent, CheckTCP, Problem, ClassNetwork, "--cv-targethost"},
		{"agent of an unknown maker", func(w *world) { w.write("store/maker.pem", pkitest.CertPEM(w.ca.Cert), 0o644) }, onAgent, CheckAgentEK, Problem, ClassOther, "ek verify"},
		{"agent that is not pinned", func(w *world) {
			w.setup.EK.Require = "both"
			w.write("ek_pins.txt", strings.Repeat("ab", 32)+"\n", 0o644)
		},
			onAgent, CheckAgentEK, Problem, ClassOther, "ek pin add"},
		{"agent's clock", func(w *world) { w.agent.off = time.Hour }, onAgent, CheckClock, Problem, ClassOther, "ahead of"},
	}
}

// TestUnchecked: what a failure has made impossible is said, and nothing else
// is claimed.
func TestUnchecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.late = append(w.late, func() { w.setup.Registrar.Port = closedPort(t); w.setup.Verifier.Port = closedPort(t) })
	report := w.run()
	for _, hop := range []string{onRegistrar, onVerifier} {
		for _, check := range []Check{CheckTLSSpoken, CheckChain, CheckClientRequired, CheckClientAccepted, CheckVersions, CheckClock} {
			if found := find(report, hop, check); len(found) != 1 || !found[0].Unchecked || found[0].Level != Note {
				t.Errorf("%s %s: %v", hop, check, found)
			}
		}
	}
	if found := find(report, onAgent, CheckRegistered); len(found) != 1 || !found[0].Unchecked {
		t.Errorf("%v", found)
	}
	if class, _ := report.Worst(Problem); class != ClassNetwork || report.Count(Problem) != 2 {
		t.Errorf("%s\n%s", class, dump(report))
	}
}

// TestWorst: the exit code follows the worst class.
func TestWorst(t *testing.T) {
	t.Parallel()
	r := &Report{}
	for _, class := range []Class{ClassOther, ClassConfiguration, ClassNetwork, ClassTLS} {
		r.Hops = append(r.Hops, Hop{Findings: []Finding{{Level: Warning, Class: ClassTLS}, {Level: Problem, Class: class}}})
		if got, any := r.Worst(Problem); !any || got != class {
			t.Errorf("%s, want %s", got, class)
		}
	}
}

// TestTLS: one hop of a server of any kind.
func TestTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	report, err := TLS(context.Background(), w.setup, Server{"127.0.0.1", w.verifier.start(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []Check{CheckChain, CheckServerDates, CheckSAN, CheckClientAsked, CheckClientRequired, CheckClientAccepted, CheckVersions, CheckClock} {
		if found := find(report, "server", check); len(found) != 1 || found[0].Level != OK {
			t.Errorf("%s: %v", check, found)
		}
	}
	// An agent: its certificate is its own, and it insists on ours.
	report, err = TLS(context.Background(), w.setup, Server{"[127.0.0.1]", w.agent.start(t)})
	if err != nil {
		t.Fatal(err)
	}
	if found := find(report, "server", CheckAddress); len(found) != 0 {
		t.Errorf("%v", found)
	}
	if found := find(report, "server", CheckChain); len(found) != 1 || found[0].Level != Problem || !strings.Contains(found[0].Why, "agents have such") {
		t.Errorf("%v", found)
	}
	if found := find(report, "server", CheckClientAccepted); len(found) != 1 || found[0].Level != OK {
		t.Errorf("%v", found)
	}
	report, err = TLS(context.Background(), w.setup, Server{"127.0.0.1", closedPort(t)})
	if class, _ := report.Worst(Problem); err != nil || class != ClassNetwork {
		t.Errorf("%v %v", class, err)
	}
}

// TestCanceled: a context that ends, ends everything.
func TestCanceled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setup.Limit = time.Minute
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	w.verifier.raw = func(c net.Conn) { t.Cleanup(func() { _ = c.Close() }); cancel(why) }
	w.setup.Registrar = Server{"127.0.0.1", w.registrar.start(t)}
	w.setup.Verifier = Server{"127.0.0.1", w.verifier.start(t)}
	w.setup.AgentID = ""
	if report, err := Run(ctx, w.setup); report != nil || !errors.Is(err, why) {
		t.Errorf("%v, %v", report, err)
	}
	if report, err := TLS(ctx, w.setup, w.setup.Registrar); report != nil || !errors.Is(err, why) {
		t.Errorf("%v, %v", report, err)
	}
}

// TestNoSecrets: neither passwords nor keys are in a report, and text of others
// is fit for a terminal.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setup.TLS.KeyPassword = "hunter2"
	w.verifier.cert = pkitest.NewAuthority(t, "\x1b[31mevil\n", nil).Issue(t, "\x1b[2J", otherName)
	w.record["regcount"], w.record["ip"] = 2, "\x1b[31m"
	text, err := json.Marshal(w.run())
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"hunter2", "PRIVATE KEY", `\u001b`} {
		if strings.Contains(string(text), never) {
			t.Errorf("%q is in the report: %s", never, text)
		}
	}
}

// TestKeyOwner: who may own our key.
func TestKeyOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if r, err := rightsOf(w.path("client-private.pem")); err != nil || !r.ownerKnown || r.uid != os.Geteuid() {
		t.Fatalf("%+v, %v", r, err)
	}
	if found := find(w.run(), onConfiguration, CheckKeyOwner); len(found) != 1 || found[0].Level != OK {
		t.Errorf("%v", found)
	}
	const root, me, service, stranger = 0, 1000, 970, 1001
	for _, test := range []struct {
		file, dir int
		want      Level
	}{{root, service, OK}, {me, service, OK}, {service, service, OK}, {stranger, service, Warning}, {stranger, root, Warning}} {
		if f := ownerFinding("/k", test.file, test.dir, me); f.Level != test.want || f.Level == Warning && f.Command == "" {
			t.Errorf("%+v: %+v", test, f)
		}
	}
}

// TestPresentedCA: the CA that a server presents is told apart from ours of the
// same name by its fingerprint.
func TestPresentedCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := pkitest.NewAuthority(t, "Keylime Certificate Authority", nil)
	w.verifier.cert, w.verifier.chain = ca.Issue(t, "server", nil), []*x509.Certificate{ca.Cert}
	found := find(w.run(), onVerifier, CheckChain)
	if len(found) != 1 || !strings.Contains(found[0].Seen, fingerprint(ca.Cert)) || !strings.Contains(found[0].Seen, fingerprint(w.ca.Cert)) {
		t.Errorf("%+v", found)
	}
}

// TestLoopbackAgent: an address that means another machine to everybody else.
func TestLoopbackAgent(t *testing.T) {
	t.Parallel()
	port := 9002
	for _, test := range []struct {
		ip, registrar string
		want          Level
	}{
		{"127.0.0.1", "10.0.0.5", Warning}, {"0.0.0.0", "10.0.0.5", Warning}, {"::1", "registrar.example", Warning},
		{"127.0.0.1", "127.0.0.1", OK}, {"127.0.0.1", "localhost", OK}, {"127.0.0.1", "[::1]", OK}, {"10.0.0.7", "10.0.0.5", OK}, {"agent.example", "10.0.0.5", OK},
	} {
		x, s := newExaminer(Setup{Registrar: Server{test.registrar, 1}}), &seen{}
		if ok := x.address(s, &registrar.Agent{Record: registrar.Record{IP: &test.ip, Port: &port}}); !ok || len(s.hop.Findings) != 1 || s.hop.Findings[0].Level != test.want {
			t.Errorf("%+v: %v", test, s.hop.Findings)
		}
	}
}

// TestSomeAddressesAnswer: a name with two addresses of which one is dead.
func TestSomeAddressesAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x, s := newExaminer(w.setup), &seen{role: verifierRole(), at: Server{"verifier", w.verifier.start(t)}}
	addr := x.connect(context.Background(), s, []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.1")})
	if !strings.HasPrefix(addr, "127.0.0.1:") || len(s.hop.Findings) != 1 || s.hop.Findings[0].Level != Note || !strings.Contains(s.hop.Findings[0].Seen, "but not 127.0.0.9") {
		t.Errorf("%s %+v", addr, s.hop.Findings)
	}
}

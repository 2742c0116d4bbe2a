package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/keylime/keylime-tenant/client"
)

// material is what the TLS files hold.
type material struct {
	// cas are the authorities that we trust, with the files they are from.
	cas []*x509.Certificate
	// anonymous shows no certificate; ours shows our own, and is nil if it
	// cannot be used. Neither refuses a server: they are for finding out.
	anonymous, ours *client.TLSMaterial
	// list is the CA's revocation list, nil if there is none that can be read.
	list *x509.RevocationList
}

// prepare makes what needs no file.
func (m *material) prepare() {
	// It reads nothing, so that it cannot fail.
	m.anonymous, _ = client.LoadTLS(client.TLSFiles{Anonymous: true, InsecureSkipServer: true})
}

// authorities looks at the certificates of trusted_server_ca.
func (x *examiner) authorities(h *Hop) {
	for _, path := range x.TLS.CAFiles {
		m, err := client.LoadTLS(client.TLSFiles{CAFiles: []string{path}, Anonymous: true})
		if err != nil {
			h.add(fileTrouble(CheckCAFile, err, "no server can be trusted without it",
				"copy cacert.crt from the verifier's cv_ca directory to "+safe(path)+", or name another file in trusted_server_ca"))
			continue
		}
		x.material.cas = append(x.material.cas, m.CAs()...)
		for _, ca := range m.CAs() {
			h.ok(CheckCAFile, ClassConfiguration, "trusted CA %s (%s) in %s", subject(ca), fingerprint(ca), safe(path))
			x.authority(h, ca, path)
		}
		h.onlyOwnerChanges(CheckCAMode, "CA file", path, "whoever changes it decides which servers are trusted")
	}
	if len(x.TLS.CAFiles) == 0 && !x.TLS.InsecureSkipServer {
		h.add(Finding{Check: CheckCAFile, Level: Problem, Class: ClassConfiguration, Seen: "trusted_server_ca names no file",
			Why: "no server can be trusted", Fix: "set trusted_server_ca = default, or to a list of files"})
	}
	if x.TLS.InsecureSkipServer {
		h.add(Finding{Check: CheckCAFile, Level: Warning, Class: ClassTLS, Seen: "certificates of servers are not verified (--insecure-skip-server-verification)",
			Why: "whoever is in between can read and change everything", Fix: "leave the option out"})
	}
}

func (x *examiner) authority(h *Hop, ca *x509.Certificate, path string) {
	x.dates(h, CheckCADates, ca, "CA certificate "+safe(path),
		"nothing that it has signed is accepted", "make the CA anew on the verifier, and copy cacert.crt and the client certificate from there")
	if ca.Version == 3 && !(ca.BasicConstraintsValid && ca.IsCA) || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		h.add(Finding{Check: CheckCAKind, Level: Problem, Class: ClassTLS,
			Seen: fmt.Sprintf("%s holds %s, which is not a CA's certificate: it may not sign others", safe(path), subject(ca)),
			Why:  "no server's certificate can lead to it", Fix: "trusted_server_ca must name the CA's certificate (cacert.crt), not a server's"})
		return
	}
	h.ok(CheckCAKind, ClassTLS, "%s may sign certificates", subject(ca))
}

// dates looks whether a certificate is valid now, and for how long.
func (x *examiner) dates(h *Hop, check Check, cert *x509.Certificate, what, why, fix string) {
	now := x.Now()
	switch {
	case now.Before(cert.NotBefore):
		h.add(Finding{Check: check, Level: Problem, Class: ClassTLS, Seen: fmt.Sprintf("%s is not valid before %s; here it is %s", what,
			cert.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)), Why: why,
			Fix: "is the clock of this machine right? compare: date -u"})
	case now.After(cert.NotAfter):
		h.add(Finding{Check: check, Level: Problem, Class: ClassTLS, Seen: what + " expired on " + day(cert.NotAfter, now), Why: why, Fix: fix})
	case cert.NotAfter.Sub(now) < soon:
		h.add(Finding{Check: check, Level: Warning, Class: ClassTLS, Seen: what + " expires on " + day(cert.NotAfter, now), Why: "from then on " + why, Fix: fix})
	default:
		h.ok(check, ClassTLS, "%s is valid until %s", what, day(cert.NotAfter, now))
	}
}

// ours looks at our certificate and key.
func (x *examiner) ours(h *Hop) {
	files := client.TLSFiles{CertFile: x.TLS.CertFile, KeyFile: x.TLS.KeyFile, KeyPassword: x.TLS.KeyPassword, InsecureSkipServer: true}
	m, err := client.LoadTLS(files)
	var trouble *client.FileError
	switch {
	case err == nil:
		x.material.ours = m
		h.ok(CheckClientCert, ClassConfiguration, "our certificate is %s (%s) in %s", subject(m.Certificate()), fingerprint(m.Certificate()), safe(x.TLS.CertFile))
		h.ok(CheckClientKey, ClassConfiguration, "our key is %s", safe(x.TLS.KeyFile))
		h.ok(CheckKeyMatch, ClassConfiguration, "key and certificate belong together")
		x.ourCertificate(h, m.Certificate())
	case errors.Is(err, client.ErrKeyMismatch):
		h.add(fileTrouble(CheckKeyMatch, err, "TLS cannot be spoken with them, so that no call works",
			"copy client-cert.crt and client-private.pem together from the verifier's cv_ca directory"))
	case errors.As(err, &trouble) && trouble.Option != "client_cert":
		h.add(fileTrouble(CheckClientKey, err, "without our key no server takes our calls",
			"copy client-private.pem from the verifier's cv_ca directory, or set client_key"))
		h.skip(CheckKeyMatch, ClassConfiguration, "the key cannot be read")
	default:
		h.add(fileTrouble(CheckClientCert, err, "without our certificate no server takes our calls",
			"copy client-cert.crt from the verifier's cv_ca directory, or set client_cert"))
		h.skip(CheckClientKey, ClassConfiguration, "our certificate cannot be read, so that nothing could be said about the key")
	}
	x.keyMode(h)
	h.onlyOwnerChanges(CheckTLSDirMode, "TLS directory", x.TLSDir, "whoever changes its files decides who is trusted, and as whom we appear")
}

func (x *examiner) ourCertificate(h *Hop, cert *x509.Certificate) {
	x.dates(h, CheckClientDates, cert, "our certificate", "no server takes our calls",
		"make a new one on the verifier (remove client-cert.crt and client-private.pem from its cv_ca and restart it), and copy both")
	if cert.Subject.CommonName == "" {
		h.add(Finding{Check: CheckClientName, Level: Problem, Class: ClassTLS, Seen: "our certificate has no common name",
			Why: "registrar and verifier take only certificates with one for an administrator's (403 otherwise)",
			Fix: "make a certificate with a common name and set client_cert and client_key to it"})
	} else {
		h.ok(CheckClientName, ClassTLS, "our certificate has the common name %s", subject(cert))
	}
	x.keyID(h, CheckClientAKI, cert, "our certificate", "servers")
	x.ourIssuer(h, cert)
}

// keyID looks for the authority key id that OpenSSL demands since 3.2.2 of
// certificates that did not sign themselves (RFC 5280, 4.2.1.1).
func (x *examiner) keyID(h *Hop, check Check, cert *x509.Certificate, what, who string) {
	if len(cert.AuthorityKeyId) > 0 || selfIssued(cert) {
		h.ok(check, ClassTLS, "%s has what OpenSSL wants to know about its issuer", what)
		return
	}
	h.add(Finding{Check: check, Level: Warning, Class: ClassTLS, Seen: what + " has no authority key identifier, as those made by Keylime before mid-2024",
		Why: who + " with OpenSSL 3.2.2 or later, or Python 3.13, refuse it (\"Missing Authority Key Identifier\")",
		Fix: "make the CA and all certificates anew with a current Keylime, or with keylime_tenant ca"})
}

func selfIssued(cert *x509.Certificate) bool {
	return string(cert.RawIssuer) == string(cert.RawSubject)
}

// ourIssuer looks whether our certificate is of the CA that servers are trusted
// for, as it is in Keylime's own set-up.
func (x *examiner) ourIssuer(h *Hop, cert *x509.Certificate) {
	if len(x.material.cas) == 0 {
		return
	}
	sameName := false
	for _, ca := range x.material.cas {
		if cert.CheckSignatureFrom(ca) == nil {
			h.ok(CheckClientIssuer, ClassTLS, "our certificate is signed by the trusted CA %s (%s)", subject(ca), fingerprint(ca))
			return
		}
		sameName = sameName || string(ca.RawSubject) == string(cert.RawIssuer)
	}
	if sameName {
		h.add(Finding{Check: CheckClientIssuer, Level: Warning, Class: ClassTLS,
			Seen: fmt.Sprintf("our certificate is signed by another CA of the name %s than the one in trusted_server_ca", issuer(cert)),
			Why:  "one of the two is left over from before the CA was made anew, and servers of the other one refuse us",
			Fix:  "copy cacert.crt, client-cert.crt and client-private.pem together from the verifier's cv_ca directory"})
		return
	}
	h.add(Finding{Check: CheckClientIssuer, Level: Note, Class: ClassTLS,
		Seen: fmt.Sprintf("our certificate is signed by %s, which is not a CA of trusted_server_ca", issuer(cert)),
		Why:  "that is fine if trusted_client_ca of the servers and agents names it"})
}

// keyMode looks who may read our private key.
func (x *examiner) keyMode(h *Hop) {
	path := x.TLS.KeyFile
	r, err := rightsOf(path)
	switch {
	case err != nil:
		h.skip(CheckKeyMode, ClassConfiguration, "%s: %s", safe(path), reason(err))
		return
	case !r.known:
		h.skip(CheckKeyMode, ClassConfiguration, "this system does not tell who may read %s", safe(path))
		return
	case r.mode&(othersRead|othersWrite) != 0:
		h.add(Finding{Check: CheckKeyMode, Level: Problem, Class: ClassConfiguration, Seen: fmt.Sprintf("everybody may read our private key %s (%s)", safe(path), r.octal()),
			Why: "whoever has it can add and delete agents and change policies in our name",
			Fix: "take the rights from others; if others had access, make key and certificate anew", Command: "chmod o-rwx " + word(path)})
	default:
		h.ok(CheckKeyMode, ClassConfiguration, "our private key can be read by its owner and group only (%s)", r.octal())
	}
	dir, err := rightsOf(filepath.Dir(path))
	if err != nil || !r.ownerKnown || x.UID < 0 {
		h.skip(CheckKeyOwner, ClassConfiguration, "whom %s belongs to is not known here", safe(path))
		return
	}
	h.add(ownerFinding(path, r.uid, dir.uid, x.UID))
}

// ownerFinding judges the owner of our key: root, ourselves, or whom its
// directory belongs to, as Keylime's service does.
func ownerFinding(path string, owner, dirOwner, me int) Finding {
	f := Finding{Check: CheckKeyOwner, Level: OK, Class: ClassConfiguration, Seen: fmt.Sprintf("our private key belongs to user %d", owner)}
	if owner == 0 || owner == me || owner == dirOwner {
		return f
	}
	f.Level = Warning
	f.Seen = fmt.Sprintf("our private key belongs to user %d, who is neither root, nor you (%d), nor the owner of its directory (%d)", owner, me, dirOwner)
	f.Why, f.Fix = "that user can read and replace it", "give it to the owner of its directory"
	f.Command = fmt.Sprintf("chown %d %s", dirOwner, word(path))
	return f
}

// fileTrouble is the finding about a file that cannot be used.
func fileTrouble(check Check, err error, why, fix string) Finding {
	if errors.Is(err, fs.ErrPermission) {
		fix = "run as a user who may read it (root, or keylime), or give yourself the right"
	}
	return Finding{Check: check, Level: Problem, Class: ClassConfiguration, Seen: err.Error(), Why: why, Fix: fix}
}

// reason is an error of the system without the path, which is named beside it.
func reason(err error) string {
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.As(err, &path):
		return path.Err.Error()
	}
	return safe(err.Error())
}

package doctor

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/client"
)

// nameOf is a distinguished name in DER for people.
func nameOf(raw []byte) string {
	var rdns pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &rdns); err != nil {
		return "a name that cannot be read"
	}
	var name pkix.Name
	name.FillFromRDNSequence(&rdns)
	if name.CommonName != "" {
		return strconv.Quote(safe(name.CommonName))
	}
	return strconv.Quote(safe(name.String()))
}

// certificate looks at the certificate of registrar or verifier.
func (x *examiner) certificate(s *seen) {
	h, leaf := &s.hop, s.tls.leaf()
	x.chain(s)
	x.dates(h, CheckServerDates, leaf, "its certificate", "every call is refused here",
		"make a new one there (Keylime's are valid for a year: remove server-cert.crt and server-private.pem from its cv_ca and restart it)")
	x.hostName(s)
	x.keyID(h, CheckAKI, leaf, "its certificate", "clients")
	if key, isRSA := leaf.PublicKey.(*rsa.PublicKey); isRSA && key.N.BitLen() < 2048 {
		h.add(Finding{Check: CheckServerKey, Level: Warning, Class: ClassTLS, Seen: fmt.Sprintf("its RSA key has %d bits", key.N.BitLen()),
			Why: "less than 2048 bits can be broken, and many systems refuse them", Fix: "make a new key and certificate there (cert_bits in ca.conf)"})
	} else {
		h.ok(CheckServerKey, ClassTLS, "its key is long enough (%s)", leaf.PublicKeyAlgorithm)
	}
	switch {
	case x.material.list == nil:
	case x.revoked(leaf):
		h.add(Finding{Check: CheckRevoked, Level: Problem, Class: ClassTLS, Seen: fmt.Sprintf("its certificate (serial %s) is on the revocation list in %s", leaf.SerialNumber, safe(x.TLSDir)),
			Why: "its key may be in others' hands, and calls do not look at the list", Fix: "make a new certificate and key there"})
	default:
		h.ok(CheckRevoked, ClassTLS, "its certificate is not on the revocation list")
	}
}

// chain looks whether the certificate leads to an authority that we trust, as
// calls will do (package client), dates apart.
func (x *examiner) chain(s *seen) {
	h, leaf := &s.hop, s.tls.leaf()
	if len(x.material.cas) == 0 {
		h.skip(CheckChain, ClassTLS, "it shows %s, signed by %s; no CA could be read to hold it against", subject(leaf), issuer(leaf))
		return
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: x.Now()}
	for _, ca := range x.material.cas {
		options.Roots.AddCert(ca)
	}
	for _, cert := range s.tls.peers[1:] {
		options.Intermediates.AddCert(cert)
	}
	chains, err := leaf.Verify(options)
	if x.onlyDates(err, s.tls.peers) {
		// The finding about dates says so; here it is the signature that counts.
		if cas := x.signers(leaf); len(cas) > 0 {
			h.ok(CheckChain, ClassTLS, "signed by the trusted CA %s (%s), dates apart", subject(cas[0]), fingerprint(cas[0]))
			s.ca = fingerprint(cas[0])
			return
		}
		options.CurrentTime = leaf.NotBefore
		chains, err = leaf.Verify(options)
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		root := chains[0][len(chains[0])-1]
		h.ok(CheckChain, ClassTLS, "signed by the trusted CA %s (%s)", subject(root), fingerprint(root))
		s.ca = fingerprint(root)
	case errors.As(err, &unknown):
		h.add(x.unknownCA(s))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		h.add(Finding{Check: CheckChain, Level: Problem, Class: ClassTLS, Seen: fmt.Sprintf("its certificate %s is not for a server: its extended key usage does not say so", subject(leaf)),
			Why: "every call is refused here", Fix: "give it a certificate for servers (server_cert and server_key in its configuration)"})
	default:
		h.add(Finding{Check: CheckChain, Level: Problem, Class: ClassTLS, Seen: "its certificate is refused: " + safe(err.Error()),
			Why: "every call is refused here", Fix: "make a new certificate there"})
	}
}

// onlyDates says that a certificate was refused for a date that another finding
// tells of: that of the server's own certificate, or of a trusted CA.
func (x *examiner) onlyDates(err error, peers []*x509.Certificate) bool {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired || invalid.Cert == nil {
		return false
	}
	told := append([]*x509.Certificate{peers[0]}, x.material.cas...)
	for _, cert := range told {
		if cert.Equal(invalid.Cert) {
			return true
		}
	}
	return false
}

// signers are the trusted authorities whose key has signed a certificate.
func (x *examiner) signers(cert *x509.Certificate) (cas []*x509.Certificate) {
	for _, ca := range x.material.cas {
		if cert.CheckSignatureFrom(ca) == nil {
			cas = append(cas, ca)
		}
	}
	return cas
}

// unknownCA is the finding about a certificate of an authority that we do not
// trust: another one, or ours before or after it was made anew.
func (x *examiner) unknownCA(s *seen) Finding {
	leaf := s.tls.leaf()
	f := Finding{Check: CheckChain, Level: Problem, Class: ClassTLS, Why: "every call is refused here"}
	var ours []string
	sameName := false
	for _, ca := range x.material.cas {
		ours = append(ours, fmt.Sprintf("%s (%s%s)", subject(ca), fingerprint(ca), keyIDText(ca.SubjectKeyId)))
		sameName = sameName || string(ca.RawSubject) == string(leaf.RawIssuer)
	}
	theirs := issuer(leaf) + keyIDText(leaf.AuthorityKeyId)
	for _, cert := range s.tls.peers[1:] {
		if leaf.CheckSignatureFrom(cert) == nil {
			theirs = fmt.Sprintf("%s (%s%s)", subject(cert), fingerprint(cert), keyIDText(cert.SubjectKeyId))
		}
	}
	switch {
	case sameName:
		f.Seen = fmt.Sprintf("its certificate is signed by %s, but the trusted CA of that name is another one: %s; the CA was made anew", theirs, some(ours))
		f.Fix = "copy cacert.crt, client-cert.crt and client-private.pem together from the cv_ca directory of the machine that made the new CA"
	case selfIssued(leaf):
		f.Seen = fmt.Sprintf("it shows %s (%s), which it has signed itself; trusted are %s", subject(leaf), fingerprint(leaf), some(ours))
		f.Why = "agents have such certificates, registrar and verifier have not: is this the right port?"
		f.Fix = fmt.Sprintf("set %s and %s to where the %s is", s.role.hostOption, s.role.portOption, s.role.name)
	default:
		f.Seen = fmt.Sprintf("its certificate is signed by %s, which is none of the trusted: %s", theirs, some(ours))
		f.Fix = "add the certificate of that CA to trusted_server_ca (cacert.crt in the server's cv_ca or reg_ca directory)"
	}
	if path := x.elsewhere(leaf); path != "" {
		f.Fix = fmt.Sprintf("the CA that has signed it lies in %s: set trusted_server_ca = ['%s']", safe(path), safe(path))
		return f
	}
	if ip := net.ParseIP(s.at.Host); !selfIssued(leaf) && len(x.TLS.CAFiles) == 1 && s.at.Host != "localhost" && !(ip != nil && ip.IsLoopback()) {
		f.Command = fmt.Sprintf("scp %s:/var/lib/keylime/cv_ca/cacert.crt %s", word(s.at.Host), word(x.TLS.CAFiles[0]))
	}
	return f
}

func keyIDText(id []byte) string {
	if len(id) == 0 {
		return ""
	}
	return ", key id " + hex.EncodeToString(id[:min(len(id), 8)])
}

// elsewhere finds the right CA among files that are not configured.
func (x *examiner) elsewhere(leaf *x509.Certificate) string {
	for _, path := range x.OtherCAs {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		m, err := client.LoadTLS(client.TLSFiles{CAFiles: []string{path}, Anonymous: true})
		if err != nil {
			continue
		}
		for _, ca := range m.CAs() {
			if leaf.CheckSignatureFrom(ca) == nil {
				return filepath.Clean(path)
			}
		}
	}
	return ""
}

// hostName looks whether the certificate bears the name that we call it by.
// Calls do not ask for that unless they are told to.
func (x *examiner) hostName(s *seen) {
	leaf := s.tls.leaf()
	if leaf.VerifyHostname(s.at.Host) == nil {
		s.hop.ok(CheckSAN, ClassTLS, "its certificate bears %s", safe(s.at.Host))
		return
	}
	var names []string
	names = append(names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	f := Finding{Check: CheckSAN, Level: Note, Class: ClassTLS, Seen: fmt.Sprintf("its certificate does not bear %s, but %s", safe(s.at.Host), safe(some(names))),
		Why: "calls do not look at names unless check_hostname or --check-hostname says so; then this one would be refused",
		Fix: fmt.Sprintf("call it by one of these names (%s), or make a certificate there with the name in it (cert_subject_alternative_names)", s.role.hostOption)}
	if len(names) == 0 {
		f.Seen = fmt.Sprintf("its certificate does not bear %s, nor any other name", safe(s.at.Host))
	}
	if x.TLS.CheckHostname {
		f.Level, f.Why = Problem, "check_hostname is on, so that every call is refused here"
	}
	s.hop.add(f)
}

// asked looks whether the server wants to know who we are.
func (x *examiner) asked(s *seen) {
	if s.tls.asked {
		s.hop.ok(CheckClientAsked, ClassTLS, "it asks for a client certificate%s", acceptableText(s.tls.acceptable))
		return
	}
	f := Finding{Check: CheckClientAsked, Level: Problem, Class: ClassTLS, Seen: "it does not ask for a client certificate",
		Why: "it cannot know administrators from others: either it refuses everybody, or it obeys everybody",
		Fix: "is this the TLS port of Keylime itself, and not of something in front of it that ends TLS?"}
	if s.tls.version == tls.VersionTLS12 && s.tls.err != nil {
		s.hop.skip(CheckClientAsked, ClassTLS, "the handshake ended before it could ask: %s", safe(s.tls.err.Error()))
		return
	}
	s.hop.add(f)
}

func acceptableText(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " of " + strings.ReplaceAll(some(names), "\n", " ")
}

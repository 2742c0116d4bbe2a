package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// revocations looks at the revocation list that Keylime's CA keeps beside its
// certificate (PROTOCOL.md 8.1 and 8.4). Nothing in Keylime asks it before a
// connection; here it is asked.
func (x *examiner) revocations(h *Hop) {
	list, path, err := readList(x.TLSDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.ok(CheckCRL, ClassTLS, "there is no revocation list in %s", safe(x.TLSDir))
		return
	case err != nil:
		h.add(Finding{Check: CheckCRL, Level: Warning, Class: ClassTLS, Seen: fmt.Sprintf("the revocation list %s cannot be read: %s", safe(path), reason(err)),
			Why: "certificates that were revoked cannot be told", Fix: "write it anew", Command: renewCommand(x.TLSDir)})
		return
	}
	signed := false
	for _, ca := range x.material.cas {
		signed = signed || list.CheckSignatureFrom(ca) == nil
	}
	if !signed {
		h.add(Finding{Check: CheckCRL, Level: Note, Class: ClassTLS, Seen: fmt.Sprintf("the revocation list %s was not signed by a CA of trusted_server_ca", safe(path)),
			Why: "it is left over from another CA, and is not looked at further"})
		return
	}
	x.material.list = list
	ours := x.material.ours
	if ours != nil && x.revoked(ours.Certificate()) {
		h.add(Finding{Check: CheckCRL, Level: Problem, Class: ClassTLS, Seen: fmt.Sprintf("our certificate (serial %s) is on the revocation list %s", ours.Certificate().SerialNumber, safe(path)),
			Why: "its key may be in others' hands; servers that look at the list refuse it", Fix: "make a new certificate and key, and set client_cert and client_key"})
		return
	}
	now := x.Now()
	entries := count(len(list.RevokedCertificateEntries), "certificate")
	switch next := list.NextUpdate; {
	case next.IsZero() || now.Before(next):
		h.ok(CheckCRL, ClassTLS, "the revocation list %s names %s, and holds", safe(path), entries)
	case next.Sub(list.ThisUpdate) < time.Hour:
		h.add(Finding{Check: CheckCRL, Level: Note, Class: ClassTLS, Seen: fmt.Sprintf("the revocation list %s names %s, and was out of date when it was written (%s)", safe(path), entries, list.ThisUpdate.UTC().Format(time.DateOnly)),
			Why: "Keylime's tools write all lists so; a program that looks at its dates refuses it", Fix: "write it anew with dates that hold", Command: renewCommand(x.TLSDir)})
	default:
		h.add(Finding{Check: CheckCRL, Level: Warning, Class: ClassTLS, Seen: fmt.Sprintf("the revocation list %s is out of date since %s", safe(path), day(next, now)),
			Why: "programs that look at it refuse every certificate of this CA", Fix: "write it anew", Command: renewCommand(x.TLSDir)})
	}
}

func renewCommand(dir string) string { return "keylime_tenant ca renew-crl --dir " + word(dir) }

// readList reads the list of a CA directory, DER before PEM.
func readList(dir string) (list *x509.RevocationList, path string, err error) {
	for _, name := range []string{"cacrl.der", "cacrl.pem"} {
		path = filepath.Join(dir, name)
		var data []byte
		if data, err = os.ReadFile(path); errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
			err = fs.ErrNotExist
			continue
		}
		if err != nil {
			return nil, path, err
		}
		if block, _ := pem.Decode(data); block != nil {
			data = block.Bytes
		}
		list, err = x509.ParseRevocationList(data)
		return list, path, err
	}
	return nil, path, err
}

// revoked says whether a certificate is on the list of the CA that issued it.
func (x *examiner) revoked(cert *x509.Certificate) bool {
	list := x.material.list
	if list == nil || cert == nil || string(list.RawIssuer) != string(cert.RawIssuer) {
		return false
	}
	for _, entry := range list.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
			return true
		}
	}
	return false
}

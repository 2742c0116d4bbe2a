package measuredboot

import (
	"encoding/hex"

	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// nameOf names a key for people: a certificate by its subject, a digest by its
// digits. kind is the list's type if it is known.
func nameOf(k Key, kind string) string {
	if kind == eventlog.SignatureSHA256 || kind == sha256Swapped || kind == "" && len(k.Data) == 64 {
		return "sha256 " + k.Data
	}
	der, err := hex.DecodeString(k.Data)
	if err != nil {
		return "an entry that is no hexadecimal digits"
	}
	return eventlog.CertificateName(der)
}

// ordinal names the place of a boot application.
func ordinal(i int) string {
	switch i {
	case 0:
		return "first"
	case 1:
		return "second"
	case 2:
		return "third"
	}
	return "fourth"
}

package quote

import (
	"fmt"
	"strconv"
	"strings"
)

// Check names one of the checks that [Verify] and [VerifyCertify] make. The names are stable:
// scripts may look for them.
type Check string

// The checks, in the order in which they are made. The numbers are those of
// PROTOCOL.md section 6.1 where it has one.
const (
	// CheckFormat: the quote string is 'r' and at least three parts (1).
	CheckFormat Check = "format"
	// CheckEncoding: each part is base64, and zlib inside it for API 1.0.
	CheckEncoding Check = "encoding"
	// CheckAcceptedHash: the reported hash algorithm is accepted (6.5).
	CheckAcceptedHash Check = "accepted-hash"
	// CheckAcceptedEnc: the reported encryption algorithm is accepted (6.5).
	CheckAcceptedEnc Check = "accepted-enc"
	// CheckAcceptedSign: the reported signing algorithm is accepted (6.5).
	CheckAcceptedSign Check = "accepted-sign"
	// CheckAK: the AK is a TPM2B_PUBLIC of a usable key, and nothing else (2).
	CheckAK Check = "ak"
	// CheckSignatureFormat: the second part is a TPMT_SIGNATURE, and nothing else.
	CheckSignatureFormat Check = "signature-format"
	// CheckScheme: the scheme belongs to the kind of key: RSASSA or ECDSA (3).
	CheckScheme Check = "scheme"
	// CheckSignAlg: the scheme is the one that the agent reported.
	CheckSignAlg Check = "sign-alg"
	// CheckHashAlg: the hash is known and the one that the agent reported (4).
	CheckHashAlg Check = "hash-alg"
	// CheckSignature: the AK has signed this attestation (5).
	CheckSignature Check = "signature"
	// CheckMagic: a TPM has made the attestation (6).
	CheckMagic Check = "magic"
	// CheckType: the attestation is a quote (6).
	CheckType Check = "type"
	// CheckAttest: the first part is a TPMS_ATTEST, and nothing else.
	CheckAttest Check = "attest"
	// CheckNonce: the quote answers this very question (7).
	CheckNonce Check = "nonce"
	// CheckBlob: the third part is a PCR blob, and nothing else (8).
	CheckBlob Check = "pcr-blob"
	// CheckSelection: blob and attestation speak of the same registers.
	CheckSelection Check = "selection"
	// CheckBank: the bank quoted is that of the signature's hash (5.4).
	CheckBank Check = "bank"
	// CheckPCRDigest: the registers' values are those that were signed (8).
	CheckPCRDigest Check = "pcr-digest"
	// CheckClockSafe: the TPM vouches for its clock (6.3).
	CheckClockSafe Check = "clock-safe"
	// CheckClockReset: the count of resets has not gone back (6.3).
	CheckClockReset Check = "clock-reset-count"
	// CheckClockRestart: the count of restarts has not gone back (6.3).
	CheckClockRestart Check = "clock-restart-count"
	// CheckClockTime: the clock has advanced (6.3).
	CheckClockTime Check = "clock-time"
	// CheckPCRMissing: every register asked for is in the quote.
	CheckPCRMissing Check = "pcr-missing"
	// CheckTransportKey: the agent has sent its transport key.
	CheckTransportKey Check = "transport-key"
	// CheckPCR16Missing: PCR 16 is in the quote (6.4, step 2).
	CheckPCR16Missing Check = "pcr16-missing"
	// CheckPCR16Binding: PCR 16 holds the hash of the transport key (6.4, step 2).
	CheckPCR16Binding Check = "pcr16-binding"
	// CheckCertifiedName: what [VerifyCertify] finds certified is the AK (3.4).
	CheckCertifiedName Check = "certified-name"
)

// VerificationError says why a quote, or another attestation, is refused. Expected and Found are fit
// for people; text of the agent in them is quoted and of limited length.
type VerificationError struct {
	Check Check
	// Subject is what is refused, "" for a quote.
	Subject string
	// Expected and Found are what was compared, "" where nothing was.
	Expected, Found string
	// Err is the cause, nil where Expected and Found say it all.
	Err error
}

func (e *VerificationError) Error() string {
	var b strings.Builder
	subject := e.Subject
	if subject == "" {
		subject = "quote"
	}
	fmt.Fprintf(&b, "%s refused by check %q", subject, string(e.Check))
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	switch {
	case e.Expected != "" && e.Found != "":
		fmt.Fprintf(&b, ": expected %s, found %s", e.Expected, e.Found)
	case e.Expected != "":
		fmt.Fprintf(&b, ": expected %s", e.Expected)
	case e.Found != "":
		fmt.Fprintf(&b, ": found %s", e.Found)
	}
	return b.String()
}

func (e *VerificationError) Unwrap() error { return e.Err }

// foundLimit is how much of an agent's text an error repeats, in bytes.
const foundLimit = 100

// shown makes text of the agent fit for a terminal.
func shown(text string) string {
	if len(text) > foundLimit {
		return strconv.Quote(text[:foundLimit]) + "..."
	}
	return strconv.Quote(text)
}

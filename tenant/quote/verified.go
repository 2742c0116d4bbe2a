package quote

import "slices"

// Clock is what a TPM says of its clock (TPMS_CLOCK_INFO, TPM 2.0 Part 2,
// section 10.11.1).
type Clock struct {
	// Clock is the time the TPM has been powered, in milliseconds.
	Clock uint64
	// ResetCount counts the resets (reboots), RestartCount the restarts and
	// resumes since the last reset.
	ResetCount, RestartCount uint32
	// Safe says that no value of Clock greater than this was reported before.
	Safe bool
}

// Verified is a quote for which every check of [Verify] has passed. Only
// Verify makes one that is not empty.
type Verified struct {
	bank         string
	pcrs         map[int][]byte
	transportKey string
	clock        Clock
	akAlgorithm  string
	akAttributes uint32
	scheme       string
	firmware     uint64
}

// PCR is the value of a register in the quoted bank; ok is false if the
// register was not quoted. The slice belongs to the caller.
func (v Verified) PCR(n int) (digest []byte, ok bool) {
	digest, ok = v.pcrs[n]
	return slices.Clone(digest), ok
}

// PCRs are the numbers of the quoted registers, in ascending order.
func (v Verified) PCRs() []int {
	numbers := make([]int, 0, len(v.pcrs))
	for n := range v.pcrs {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// Bank is the bank the values belong to: sha1, sha256, sha384 or sha512. It is
// the hash of the signature as well.
func (v Verified) Bank() string { return v.bank }

// TransportKeyPEM is the transport key that PCR 16 binds, "" when the binding
// was not asked for.
func (v Verified) TransportKeyPEM() string { return v.transportKey }

// Clock is the TPM's clock at the time of the quote: the baseline of the next.
func (v Verified) Clock() Clock { return v.clock }

// AKAlgorithm is the kind of the AK: rsa2048, ecc256, ….
func (v Verified) AKAlgorithm() string { return v.akAlgorithm }

// AKAttributes are the TPMA_OBJECT bits of the AK (TPM 2.0 Part 2, 8.3).
func (v Verified) AKAttributes() uint32 { return v.akAttributes }

// Scheme is the signature scheme: rsassa or ecdsa.
func (v Verified) Scheme() string { return v.scheme }

// FirmwareVersion is the vendor's number of the TPM's firmware.
func (v Verified) FirmwareVersion() uint64 { return v.firmware }

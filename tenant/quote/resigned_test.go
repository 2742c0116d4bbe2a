package quote_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

// resigned is a quote of a software TPM whose attestation is spoiled before
// it is signed, so that the signature is good and the check behind it decides.
type resigned struct {
	attest tpm2.TPMSAttest
	info   tpm2.TPMSQuoteInfo
	raw    func([]byte) []byte // a last change of the marshalled attestation
	blob   []byte
	u      quote.Untrusted
	e      quote.Expect
}

func (r *resigned) selections() []tpm2.TPMSPCRSelection { return r.info.PCRSelect.PCRSelections }

func TestResigned(t *testing.T) {
	t.Parallel()
	patch := func(offset int, b ...byte) func(*resigned) {
		return func(r *resigned) {
			r.raw = func(attest []byte) []byte { copy(attest[offset:], b); return attest }
		}
	}
	cases := []struct {
		name  string
		spoil func(r *resigned)
		want  quote.Check
	}{
		{"nothing", func(*resigned) {}, ""},
		{"magic", patch(0, 0xfe), quote.CheckMagic},
		{"type", patch(4, 0x80, 0x17), quote.CheckType}, // TPM_ST_ATTEST_CERTIFY
		{"attest of 5 bytes", func(r *resigned) { r.raw = func(a []byte) []byte { return a[:5] } }, quote.CheckAttest},
		{"attest cut", func(r *resigned) { r.raw = func(a []byte) []byte { return a[:len(a)-1] } }, quote.CheckAttest},
		{"a byte follows the attest", func(r *resigned) { r.raw = func(a []byte) []byte { return append(a, 0) } }, quote.CheckAttest},
		{"a size that goes beyond", patch(6, 0xff, 0xff), quote.CheckAttest},
		{"too many selections", func(r *resigned) {
			r.raw = func(a []byte) []byte {
				binary.BigEndian.PutUint32(a[len(a)-2-32-6-4:], 17)
				return a
			}
		}, quote.CheckAttest},
		{"safe is neither yes nor no", func(r *resigned) {
			r.raw = func(a []byte) []byte { a[len(a)-2-32-6-4-8-1] = 2; return a }
		}, quote.CheckAttest},
		{"another signer's name is no matter", func(r *resigned) { r.attest.QualifiedSigner = tpm2.TPM2BName{Buffer: []byte{1}} }, ""},
		{"another firmware is no matter", func(r *resigned) { r.attest.FirmwareVersion = 7 }, ""},
		{"nonce", func(r *resigned) { r.attest.ExtraData.Buffer = []byte("noncf") }, quote.CheckNonce},
		{"nonce longer", func(r *resigned) { r.attest.ExtraData.Buffer = []byte("nonce\x00") }, quote.CheckNonce},
		{"nonce empty", func(r *resigned) { r.attest.ExtraData.Buffer = nil }, quote.CheckNonce},
		{"one register less signed", func(r *resigned) { r.selections()[0].PCRSelect[0] = 0 }, quote.CheckSelection},
		{"other registers signed", func(r *resigned) { r.selections()[0].PCRSelect[0] = 2 }, quote.CheckSelection},
		{"a register beyond 23 signed", func(r *resigned) {
			r.selections()[0].PCRSelect = append(r.selections()[0].PCRSelect, 1)
		}, quote.CheckSelection},
		{"a wider select of the same registers", func(r *resigned) {
			r.selections()[0].PCRSelect = append(r.selections()[0].PCRSelect, 0)
		}, ""},
		{"another bank signed", func(r *resigned) { r.selections()[0].Hash = tpm2.TPMAlgSHA1 }, quote.CheckSelection},
		{"unknown bank signed", func(r *resigned) { r.selections()[0].Hash = 0x12 }, quote.CheckSelection},
		{"a second bank signed", func(r *resigned) {
			r.info.PCRSelect.PCRSelections = append(r.selections(), r.selections()[0])
		}, quote.CheckSelection},
		{"nothing selected", func(r *resigned) { r.info.PCRSelect.PCRSelections = nil }, quote.CheckSelection},
		{"digest", func(r *resigned) { r.info.PCRDigest.Buffer[31] ^= 1 }, quote.CheckPCRDigest},
		{"digest empty", func(r *resigned) { r.info.PCRDigest.Buffer = nil }, quote.CheckPCRDigest},
		{"clock not safe", func(r *resigned) { r.attest.ClockInfo.Safe = false }, quote.CheckClockSafe},
		{"resets gone back", func(r *resigned) { r.e.Clock = &quote.Clock{ResetCount: 3, Safe: true} }, quote.CheckClockReset},
		{"restarts gone back", func(r *resigned) { r.e.Clock = &quote.Clock{ResetCount: 2, RestartCount: 8, Safe: true} }, quote.CheckClockRestart},
		{"clock stands still", func(r *resigned) { r.e.Clock = &quote.Clock{ResetCount: 2, RestartCount: 7, Clock: 5000, Safe: true} }, quote.CheckClockTime},
		{"clock zero from the start", func(r *resigned) {
			r.attest.ClockInfo = tpm2.TPMSClockInfo{Safe: true}
		}, quote.CheckClockTime},
		{"any clock", func(r *resigned) {
			r.e.AnyClock, r.e.Clock = true, &quote.Clock{ResetCount: 3, RestartCount: 8, Clock: 6000, Safe: true}
			r.attest.ClockInfo.Safe = false
		}, ""},
		{"PCR 16 bound to another key", func(r *resigned) { r.u.TransportKeyPEM = "other" }, quote.CheckPCR16Binding},
		{"PCR 16 demanded but not quoted", func(r *resigned) { r.quoteOnly(t, []int{0}) }, quote.CheckPCR16Missing},
		{"a register demanded but not quoted", func(r *resigned) { r.e.Selection = []int{5} }, quote.CheckPCRMissing},
	}
	for _, algorithm := range []string{"rsa", "ecc"} {
		for _, c := range cases {
			t.Run(algorithm+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				r := newResigned(t, algorithm)
				c.spoil(r)
				expectCheck(t, r.sign(t, algorithm), r.e, c.want)
			})
		}
	}
}

// newResigned is a good quote of PCRs 0 and 16, with fixed clock values.
func newResigned(t *testing.T, algorithm string) *resigned {
	t.Helper()
	tpm := tpmFor(t, algorithm)
	r := &resigned{
		u: quote.Untrusted{HashAlg: "sha256", SignAlg: tpm.SignAlg(), TransportKeyPEM: "the key"},
		e: quote.Expect{AK: tpm.AKPublic(), Nonce: "nonce", BindTransportKey: true},
		attest: tpm2.TPMSAttest{Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestQuote,
			ExtraData: tpm2.TPM2BData{Buffer: []byte("nonce")},
			ClockInfo: tpm2.TPMSClockInfo{Clock: 5000, ResetCount: 2, RestartCount: 7, Safe: true}},
	}
	r.quoteOnly(t, []int{0, 16})
	return r
}

// quoteOnly makes blob and signed selection speak of these registers, with
// PCR 16 bound to "the key" and all others zero.
func (r *resigned) quoteOnly(t *testing.T, pcrs []int) {
	t.Helper()
	var values [][]byte
	var selected []uint
	all := []byte{}
	for _, n := range pcrs {
		value := make([]byte, 32)
		if n == 16 {
			value = sha256Of(append(make([]byte, 32), sha256Of([]byte("the key"))...))
		}
		values, selected, all = append(values, value), append(selected, uint(n)), append(all, value...)
	}
	var err error
	if r.blob, err = quote.EncodePCRBlob(quote.PCRBlob{Selections: []quote.Selection{{Bank: "sha256", PCRs: pcrs}}, Values: values}); err != nil {
		t.Fatal(err)
	}
	r.info = tpm2.TPMSQuoteInfo{
		PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(selected...)}}},
		PCRDigest: tpm2.TPM2BDigest{Buffer: sha256Of(all)}}
}

// sign marshals and signs the attestation.
func (r *resigned) sign(t *testing.T, algorithm string) quote.Untrusted {
	t.Helper()
	r.attest.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &r.info)
	attest := tpm2.Marshal(r.attest)
	if r.raw != nil {
		attest = r.raw(attest)
	}
	sig, err := tpmFor(t, algorithm).Sign(attest)
	if err != nil {
		t.Fatal(err)
	}
	u := r.u
	u.Quote = join([3][]byte{attest, sig, r.blob})
	return u
}

// TestSeveralBanks: a quote of two banks is one digest over both; the values
// are those of the bank of the signature's hash.
func TestSeveralBanks(t *testing.T) {
	t.Parallel()
	r := newResigned(t, "ecc")
	r.u.TransportKeyPEM, r.e.BindTransportKey = "", false
	sha1Value, sha256Value := make([]byte, 20), make([]byte, 32)
	var err error
	r.blob, err = quote.EncodePCRBlob(quote.PCRBlob{
		Selections: []quote.Selection{{Bank: "sha1", PCRs: []int{3}}, {Bank: "sha256", PCRs: []int{4}}},
		Values:     [][]byte{sha1Value, sha256Value}})
	if err != nil {
		t.Fatal(err)
	}
	r.info = tpm2.TPMSQuoteInfo{PCRDigest: tpm2.TPM2BDigest{Buffer: sha256Of(make([]byte, 52))},
		PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
			{Hash: tpm2.TPMAlgSHA1, PCRSelect: []byte{8, 0, 0}}, {Hash: tpm2.TPMAlgSHA256, PCRSelect: []byte{16, 0, 0}}}}}
	v, err := quote.Verify(r.sign(t, "ecc"), r.e)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.PCRs(); len(got) != 1 || got[0] != 4 {
		t.Errorf("PCRs %v, want those of sha256", got)
	}
}

// TestOtherBankOnly: the bank must be that of the signature's hash, which
// upstream looks the values up by.
func TestOtherBankOnly(t *testing.T) {
	t.Parallel()
	tpm := tpmFor(t, "rsa")
	for _, bank := range []string{"sha1", "sha384"} {
		q, err := tpm.QuoteString("nonce", []int{0}, bank)
		if err != nil {
			t.Fatal(err)
		}
		expectCheck(t, quote.Untrusted{Quote: q, HashAlg: "sha256"}, quote.Expect{AK: tpm.AKPublic(), Nonce: "nonce"}, quote.CheckBank)
	}
}

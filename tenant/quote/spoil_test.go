package quote_test

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

// spoiled is a recorded quote about to be spoiled: its parts, and all else.
type spoiled struct {
	parts [3][]byte // attestation, signature, PCR blob
	u     quote.Untrusted
	e     quote.Expect
}

// attestFields are offset and length of the fields of a recorded TPMS_ATTEST,
// all of which have a qualified name of 34 bytes and a nonce of 20.
func attestFields() map[string][2]int {
	return map[string][2]int{
		"magic": {0, 4}, "type": {4, 2}, "qualifiedSigner size": {6, 2}, "qualifiedSigner": {8, 34},
		"extraData size": {42, 2}, "extraData": {44, 20}, "clock": {64, 8}, "resetCount": {72, 4}, "restartCount": {76, 4},
		"safe": {80, 1}, "firmwareVersion": {81, 8}, "selection count": {89, 4}, "selection hash": {93, 2},
		"selection size": {95, 1}, "selection": {96, 3}, "pcrDigest size": {99, 2}, "pcrDigest": {101, 32},
	}
}

// TestSpoiledFields spoils one thing of a recorded quote at a time. What the
// signature covers is refused by the signature; TestResigned shows that the
// checks behind it work by themselves.
func TestSpoiledFields(t *testing.T) {
	t.Parallel()
	type spoilCase struct {
		name  string
		spoil func(s *spoiled)
		want  quote.Check
	}
	blobU32 := func(offset int, value uint32) func(s *spoiled) {
		return func(s *spoiled) { binary.LittleEndian.PutUint32(s.parts[2][offset:], value) }
	}
	blobByte := func(offset int, value byte) func(s *spoiled) {
		return func(s *spoiled) { s.parts[2][offset] = value }
	}
	sigU16 := func(offset int, value uint16) func(s *spoiled) {
		return func(s *spoiled) { binary.BigEndian.PutUint16(s.parts[1][offset:], value) }
	}
	cases := []spoilCase{
		{"nothing", func(*spoiled) {}, ""},
		{"attest: a byte follows", func(s *spoiled) { s.parts[0] = append(s.parts[0], 0) }, quote.CheckSignature},
		{"attest: empty", func(s *spoiled) { s.parts[0] = nil }, quote.CheckSignature},
		{"signature: another scheme of the key", sigU16(0, 0x0016), quote.CheckScheme},
		{"signature: unknown scheme", sigU16(0, 0x7777), quote.CheckScheme},
		{"signature: another hash than reported", sigU16(2, 0x0004), quote.CheckHashAlg},
		{"signature: unknown hash", sigU16(2, 0x0012), quote.CheckHashAlg},
		{"signature: a bit", func(s *spoiled) { s.parts[1][len(s.parts[1])-1] ^= 1 }, quote.CheckSignature},
		{"signature: size too large", sigU16(4, 0xffff), quote.CheckSignatureFormat},
		{"signature: a byte follows", func(s *spoiled) { s.parts[1] = append(s.parts[1], 0) }, quote.CheckSignatureFormat},
		{"signature: cut", func(s *spoiled) { s.parts[1] = s.parts[1][:len(s.parts[1])-1] }, quote.CheckSignatureFormat},
		{"signature: empty", func(s *spoiled) { s.parts[1] = nil }, quote.CheckSignatureFormat},
		{"signature: scheme alone", func(s *spoiled) { s.parts[1] = []byte{0x77, 0x77} }, quote.CheckSignatureFormat},
		{"blob: no selection", blobU32(0, 0), quote.CheckBlob},
		{"blob: two selections", blobU32(0, 2), quote.CheckBlob},
		{"blob: too many selections", blobU32(0, 17), quote.CheckBlob},
		{"blob: another bank of that size of digest", func(s *spoiled) { binary.LittleEndian.PutUint16(s.parts[2][4:], 0x000c) }, quote.CheckBlob},
		{"blob: unknown bank", func(s *spoiled) { binary.LittleEndian.PutUint16(s.parts[2][4:], 0x0012) }, quote.CheckBlob},
		{"blob: size of select 2", blobByte(6, 2), quote.CheckBlob},
		{"blob: size of select 0", blobByte(6, 0), quote.CheckBlob},
		{"blob: select beyond its size", blobByte(10, 1), quote.CheckBlob},
		{"blob: one register more", func(s *spoiled) { s.parts[2][9] |= 0x80 }, quote.CheckBlob},
		{"blob: other registers, as many", func(s *spoiled) { s.parts[2][9] = 0x80 }, quote.CheckSelection},
		{"blob: an unused slot in use", blobByte(4+15*8, 0x0b), quote.CheckBlob},
		{"blob: one list more", func(s *spoiled) { s.parts[2][132]++ }, quote.CheckBlob},
		{"blob: lists without end", blobU32(132, 0xffffffff), quote.CheckBlob},
		{"blob: fewer values announced", func(s *spoiled) { s.parts[2][136]-- }, quote.CheckBlob},
		{"blob: too many values announced", blobU32(136, 9), quote.CheckBlob},
		{"blob: a shorter value", blobByte(140, 20), quote.CheckBlob},
		{"blob: a value longer than its room", func(s *spoiled) { binary.LittleEndian.PutUint16(s.parts[2][140:], 65) }, quote.CheckBlob},
		{"blob: a value", func(s *spoiled) { s.parts[2][142] ^= 1 }, quote.CheckPCRDigest},
		{"blob: bytes behind a value", blobByte(142+40, 1), quote.CheckBlob},
		{"blob: a byte follows", func(s *spoiled) { s.parts[2] = append(s.parts[2], 0) }, quote.CheckBlob},
		{"blob: cut", func(s *spoiled) { s.parts[2] = s.parts[2][:len(s.parts[2])-1] }, quote.CheckBlob},
		{"blob: empty", func(s *spoiled) { s.parts[2] = nil }, quote.CheckBlob},
		{"AK: empty", func(s *spoiled) { s.e.AK = nil }, quote.CheckAK},
		{"AK: a byte follows", func(s *spoiled) { s.e.AK = append(slices.Clone(s.e.AK), 0) }, quote.CheckAK},
		{"AK: a byte follows inside its length", func(s *spoiled) {
			s.e.AK = append(slices.Clone(s.e.AK), 0)
			binary.BigEndian.PutUint16(s.e.AK, uint16(len(s.e.AK)-2))
		}, quote.CheckAK},
		{"AK: without its length", func(s *spoiled) { s.e.AK = s.e.AK[2:] }, quote.CheckAK},
		{"AK: cut", func(s *spoiled) { s.e.AK = s.e.AK[:40] }, quote.CheckAK},
		{"AK: another kind of key", func(s *spoiled) { s.e.AK = slices.Clone(s.e.AK); s.e.AK[3] = 0x08 }, quote.CheckAK},
		{"AK: of another TPM", func(s *spoiled) { s.e.AK = tpmFor(t, akKind(s.u)).AKPublic() }, quote.CheckSignature},
		{"AK: of another kind", func(s *spoiled) { s.e.AK = tpmFor(t, otherKind(s.u)).AKPublic() }, quote.CheckScheme},
		{"nonce: another", func(s *spoiled) { s.e.Nonce = "AAAAAAAAAAAAAAAAAAAA" }, quote.CheckNonce},
		{"nonce: none", func(s *spoiled) { s.e.Nonce = "" }, quote.CheckNonce},
		{"hash_alg: another", func(s *spoiled) { s.u.HashAlg = "sha384" }, quote.CheckHashAlg},
		{"hash_alg: not accepted", func(s *spoiled) { s.u.HashAlg = "sha1" }, quote.CheckAcceptedHash},
		{"hash_alg: none", func(s *spoiled) { s.u.HashAlg, s.e.AcceptHash = "", nil }, quote.CheckHashAlg},
		{"hash_alg: in capitals", func(s *spoiled) { s.u.HashAlg, s.e.AcceptHash = "SHA256", nil }, quote.CheckHashAlg},
		{"hash_alg: nothing is accepted", func(s *spoiled) { s.e.AcceptHash = []string{} }, quote.CheckAcceptedHash},
		{"enc_alg: not accepted", func(s *spoiled) { s.u.EncAlg = "rsa1024" }, quote.CheckAcceptedEnc},
		{"enc_alg: none", func(s *spoiled) { s.u.EncAlg = "" }, quote.CheckAcceptedEnc},
		{"sign_alg: not accepted", func(s *spoiled) { s.u.SignAlg = "rsapss" }, quote.CheckAcceptedSign},
		{"sign_alg: another", func(s *spoiled) { s.u.SignAlg = map[string]string{"rsassa": "ecdsa", "ecdsa": "rsassa"}[s.u.SignAlg] }, quote.CheckSignAlg},
		{"transport key: another", func(s *spoiled) { s.u.TransportKeyPEM += "\n" }, quote.CheckPCR16Binding},
		{"transport key: without its last newline", func(s *spoiled) { s.u.TransportKeyPEM = strings.TrimSpace(s.u.TransportKeyPEM) }, quote.CheckPCR16Binding},
		{"transport key: none", func(s *spoiled) { s.u.TransportKeyPEM = "" }, quote.CheckTransportKey},
		{"a register that was not quoted", func(s *spoiled) { s.e.Selection = []int{16, 23} }, quote.CheckPCRMissing},
		{"clock: later before", func(s *spoiled) { s.e.Clock = &quote.Clock{Clock: 1 << 60, Safe: true} }, quote.CheckClockTime},
	}
	for name, at := range attestFields() {
		cases = append(cases, spoilCase{"attest: " + name, func(s *spoiled) { s.parts[0][at[0]+at[1]-1] ^= 1 }, quote.CheckSignature})
	}
	for _, kind := range []string{"identity", "integrity_early", "integrity"} {
		for _, algorithm := range []string{"rsa", "ecc"} {
			r := recorded(t, "sb-on", kind, algorithm)
			for _, c := range cases {
				t.Run(kind+"/"+algorithm+"/"+c.name, func(t *testing.T) {
					t.Parallel()
					s := spoiled{parts: split(t, r.u.Quote), u: r.u, e: r.e}
					c.spoil(&s)
					s.u.Quote = join(s.parts)
					expectCheck(t, s.u, s.e, c.want)
				})
			}
		}
	}
}

func akKind(u quote.Untrusted) string {
	return map[string]string{"rsassa": "rsa", "ecdsa": "ecc"}[u.SignAlg]
}
func otherKind(u quote.Untrusted) string {
	return map[string]string{"rsassa": "ecc", "ecdsa": "rsa"}[u.SignAlg]
}

// TestSpoiledText spoils the quote string itself.
func TestSpoiledText(t *testing.T) {
	t.Parallel()
	r := recorded(t, "sb-on", "identity", "rsa")
	parts := strings.Split(r.u.Quote[1:], ":")
	for _, c := range []struct {
		name, quote string
		want        quote.Check
	}{
		{"empty", "", quote.CheckFormat},
		{"TPM 1.2", "d" + r.u.Quote[1:], quote.CheckFormat},
		{"no prefix", r.u.Quote[1:], quote.CheckFormat},
		{"in capitals", "R" + r.u.Quote[1:], quote.CheckFormat},
		{"prefix alone", "r", quote.CheckFormat},
		{"two parts", "r" + parts[0] + ":" + parts[1], quote.CheckFormat},
		{"a fourth part is ignored", r.u.Quote + ":####", ""},
		{"parts in another order", "r" + parts[1] + ":" + parts[0] + ":" + parts[2], quote.CheckScheme},
		{"not base64", "r" + parts[0] + ":#" + parts[1] + ":" + parts[2], quote.CheckEncoding},
		{"a line break", "r" + parts[0] + ":" + parts[1] + ":" + parts[2] + "\n", quote.CheckEncoding},
		{"without padding", "r" + parts[0] + ":" + strings.TrimRight(parts[1], "=") + ":" + parts[2], quote.CheckEncoding},
		{"URL alphabet", "r" + parts[0] + ":" + strings.NewReplacer("+", "-", "/", "_").Replace(parts[1]) + ":" + parts[2], quote.CheckEncoding},
		{"too long", "r" + parts[0] + ":" + parts[1] + ":" + base64.StdEncoding.EncodeToString(make([]byte, 1<<17)), quote.CheckEncoding},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := r.u
			u.Quote = c.quote
			expectCheck(t, u, r.e, c.want)
		})
	}
}

// TestEveryByte: no byte of a quote can be changed unnoticed, save those that
// the compiler's padding leaves undefined in old agents.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	allowed := [3][]quote.Check{
		{quote.CheckSignature},
		{quote.CheckSignatureFormat, quote.CheckScheme, quote.CheckHashAlg, quote.CheckSignature},
		{quote.CheckBlob, quote.CheckSelection, quote.CheckPCRDigest},
	}
	for _, algorithm := range []string{"rsa", "ecc"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			r := recorded(t, "sb-on", "integrity", algorithm)
			parts := split(t, r.u.Quote)
			for part := range parts {
				for i := range parts[part] {
					if part == 2 && i >= 4 && i < 132 && (i-4)%8 == 7 {
						continue // padding of a slot
					}
					bit := byte(1) << (i % 8)
					parts[part][i] ^= bit
					u := r.u
					u.Quote = join(parts)
					_, err := quote.Verify(u, r.e)
					if got := checkOf(t, err); !slices.Contains(allowed[part], got) {
						t.Errorf("part %d, byte %d: refused by %q", part, i, got)
					}
					parts[part][i] ^= bit
				}
			}
		})
	}
}

// TestPaddingIsIgnored: what old agents leave in the padding does no harm.
func TestPaddingIsIgnored(t *testing.T) {
	t.Parallel()
	r := recorded(t, "sb-on", "integrity", "rsa")
	parts := split(t, r.u.Quote)
	for slot := range 16 {
		parts[2][4+slot*8+7] = 0xee
	}
	r.u.Quote = join(parts)
	expectCheck(t, r.u, r.e, "")
}

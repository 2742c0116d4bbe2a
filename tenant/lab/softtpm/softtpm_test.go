package softtpm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// The keys of these tests are made once; a test that changes a TPM loads its
// own copy of it.
var (
	rsaState = sync.OnceValues(func() ([]byte, error) { return newState(softtpm.Options{}) })
	eccState = sync.OnceValues(func() ([]byte, error) { return newState(softtpm.Options{EKAlg: "ecc256", AKAlg: "ecc256"}) })
)

func newState(o softtpm.Options) ([]byte, error) {
	tpm, err := softtpm.New(o)
	if err != nil {
		return nil, err
	}
	return tpm.Marshal()
}

func load(t testing.TB, state func() ([]byte, error), o softtpm.Options) *softtpm.TPM {
	t.Helper()
	text, err := state()
	if err != nil {
		t.Fatal(err)
	}
	tpm, err := softtpm.Load(text, o)
	if err != nil {
		t.Fatal(err)
	}
	return tpm
}

// stopped is a clock that stands still.
func stopped() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }

func verify(t testing.TB, tpm *softtpm.TPM, pcrs []int, last *quote.Clock) quote.Verified {
	t.Helper()
	q, err := tpm.QuoteString("GIlrVQhkXH9UosY91LoA", pcrs, tpm.HashAlg())
	if err != nil {
		t.Fatal(err)
	}
	v, err := quote.Verify(quote.Untrusted{Quote: q, HashAlg: tpm.HashAlg(), EncAlg: tpm.EncAlg(), SignAlg: tpm.SignAlg()},
		quote.Expect{AK: tpm.AKPublic(), Nonce: "GIlrVQhkXH9UosY91LoA", Selection: pcrs, Clock: last,
			AcceptHash: []string{"sha256"}, AcceptEnc: []string{"rsa", "ecc"}, AcceptSign: []string{"rsassa", "ecdsa"}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestQuotes: what the TPM quotes passes tenant/quote with its own registers.
func TestQuotes(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]func() ([]byte, error){"rsa": rsaState, "ecc": eccState} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tpm := load(t, state, softtpm.Options{})
			digest := sha256.Sum256([]byte("kernel"))
			if err := tpm.Extend("sha256", 9, digest[:]); err != nil {
				t.Fatal(err)
			}
			v := verify(t, tpm, []int{23, 9, 0, 9, 17}, nil)
			want := sha256.Sum256(append(make([]byte, 32), digest[:]...))
			for n, value := range map[int][]byte{0: make([]byte, 32), 9: want[:], 17: bytes.Repeat([]byte{0xff}, 32), 23: make([]byte, 32)} {
				if got, ok := v.PCR(n); !ok || !bytes.Equal(got, value) {
					t.Errorf("PCR %d: %x, want %x", n, got, value)
				}
			}
		})
	}
}

// TestClock: the clock advances from quote to quote even if time does not, and
// a reboot counts.
func TestClock(t *testing.T) {
	t.Parallel()
	tpm := load(t, eccState, softtpm.Options{Now: stopped})
	first := verify(t, tpm, []int{16}, nil).Clock()
	second := verify(t, tpm, []int{16}, &first).Clock()
	if second.Clock != first.Clock+1 || second.ResetCount != 1 || second.RestartCount != 0 || !second.Safe {
		t.Errorf("%+v after %+v", second, first)
	}
	if err := tpm.SetPCRs("sha256", map[int][]byte{4: bytes.Repeat([]byte{4}, 32)}); err != nil {
		t.Fatal(err)
	}
	tpm.Reboot()
	after := verify(t, tpm, []int{4, 16}, &second)
	if after.Clock().ResetCount != 2 || after.Clock().Clock <= second.Clock {
		t.Errorf("%+v after a reboot after %+v", after.Clock(), second)
	}
	if value, _ := after.PCR(4); !bytes.Equal(value, make([]byte, 32)) {
		t.Errorf("PCR 4 is %x after a reboot", value)
	}
}

// TestClockFollowsTime: the clock counts milliseconds, and none is lost.
func TestClockFollowsTime(t *testing.T) {
	t.Parallel()
	now := stopped()
	tpm := load(t, eccState, softtpm.Options{Now: func() time.Time { return now }})
	first := verify(t, tpm, []int{16}, nil).Clock()
	for range 10 {
		now = now.Add(1500 * time.Microsecond)
		verify(t, tpm, []int{16}, nil)
	}
	if last := verify(t, tpm, []int{16}, nil).Clock(); last.Clock != first.Clock+15+1 {
		t.Errorf("15 ms after %d it is %d", first.Clock, last.Clock)
	}
}

// TestRegisters: banks, lengths and numbers are checked; values are copies.
func TestRegisters(t *testing.T) {
	t.Parallel()
	tpm := load(t, eccState, softtpm.Options{})
	for name, err := range map[string]error{
		"extend: unknown bank":   tpm.Extend("sm3", 0, nil),
		"extend: no such PCR":    tpm.Extend("sha1", 24, make([]byte, 20)),
		"extend: negative PCR":   tpm.Extend("sha1", -1, make([]byte, 20)),
		"extend: wrong length":   tpm.Extend("sha1", 0, make([]byte, 32)),
		"set: unknown bank":      tpm.SetPCRs("sm3", map[int][]byte{0: nil}),
		"set: one wrong of two":  tpm.SetPCRs("sha256", map[int][]byte{0: bytes.Repeat([]byte{1}, 32), 1: nil}),
		"set: no such PCR":       tpm.SetPCRs("sha256", map[int][]byte{24: make([]byte, 32)}),
		"read: unknown bank":     second(tpm.PCR("sha512", 0)),
		"quote: unknown bank":    second(tpm.QuoteString("n", []int{0}, "sha512")),
		"quote: no such PCR":     second(tpm.QuoteString("n", []int{24}, "sha256")),
		"quote: nonce too long":  second(tpm.QuoteString(strings.Repeat("n", 67), []int{0}, "sha256")),
		"new: unknown EK":        second(softtpm.New(softtpm.Options{EKAlg: "rsa4096"})),
		"new: EK of ecc521":      second(softtpm.New(softtpm.Options{EKAlg: "ecc521"})),
		"new: unknown AK":        second(softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "dsa"})),
		"new: unknown hash":      second(softtpm.New(softtpm.Options{Hash: "sha512"})),
		"name: not TPM2B_PUBLIC": second(softtpm.AKName([]byte{0, 1, 2})),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, bank := range softtpm.Banks() {
		value, err := tpm.PCR(bank, 0)
		if err != nil || !bytes.Equal(value, make([]byte, len(value))) {
			t.Fatalf("%s: PCR 0 is %x after refused changes, %v", bank, value, err)
		}
		value[0] = 1
		if again, _ := tpm.PCR(bank, 0); again[0] != 0 {
			t.Error("a caller can change a register")
		}
	}
	if err := tpm.BindTransportKey("key"); err != nil {
		t.Fatal(err)
	}
	tpm.Reset16()
	if value, _ := tpm.PCR("sha256", 16); !bytes.Equal(value, make([]byte, 32)) {
		t.Errorf("PCR 16 is %x after its reset", value)
	}
}

// second is the error of a pair.
func second[T any](_ T, err error) error { return err }

// TestState: a TPM that is saved and loaded is the same; the file is private.
func TestState(t *testing.T) {
	t.Parallel()
	tpm := load(t, rsaState, softtpm.Options{Now: stopped})
	if err := tpm.BindTransportKey("key"); err != nil {
		t.Fatal(err)
	}
	tpm.Reboot()
	if err := tpm.SetPCRs("sha384", map[int][]byte{7: bytes.Repeat([]byte{7}, 48)}); err != nil {
		t.Fatal(err)
	}
	before := verify(t, tpm, []int{16}, nil).Clock()
	path := filepath.Join(t.TempDir(), "tpm.json")
	for range 2 { // the second time over the first
		if err := tpm.SaveFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	again, err := softtpm.LoadFile(path, softtpm.Options{Now: stopped})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.AKPublic(), tpm.AKPublic()) || !bytes.Equal(again.EKPublic(), tpm.EKPublic()) ||
		!bytes.Equal(again.AKName(), tpm.AKName()) || again.EncAlg() != "rsa2048" || again.SignAlg() != "rsassa" {
		t.Error("another TPM was loaded")
	}
	if value, _ := again.PCR("sha384", 7); !bytes.Equal(value, bytes.Repeat([]byte{7}, 48)) {
		t.Errorf("PCR 7 is %x", value)
	}
	if after := verify(t, again, []int{16}, &before).Clock(); after.ResetCount != 2 {
		t.Errorf("%+v", after)
	}
}

// TestStateRefuses: a spoiled state is an error that says what is wrong.
func TestStateRefuses(t *testing.T) {
	t.Parallel()
	text, err := eccState()
	if err != nil {
		t.Fatal(err)
	}
	other, err := newState(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	key := func(state []byte, name string) string { // the n-th value of a member
		_, after, _ := strings.Cut(string(state), name+`": "`)
		value, _, _ := strings.Cut(after, `"`)
		return value
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"not JSON":            {"{", "", "software TPM"},
		"another version":     {`"version": 1`, `"version": 2`, "version 2"},
		"unknown hash":        {`"hash": "sha256"`, `"hash": "md5"`, "md5"},
		"another private key": {key(text, "pkcs8"), key(other, "pkcs8"), "EK: its private key does not belong"},
		"no private key":      {key(text, "pkcs8"), "", "EK"},
		"no public key":       {key(text, "tpm2b_public"), "AAA=", "EK"},
		"a bank is missing":   {`"sha384": [`, `"sha512": [`, "bank sha384"},
		"a register too long": {strings.Repeat("0", 40), strings.Repeat("0", 42), "PCR 0 of bank sha1"},
	} {
		spoiled := strings.Replace(string(text), c.old, c.new, 1)
		if spoiled == string(text) {
			t.Fatalf("%s: nothing was spoiled", name)
		}
		if _, err := softtpm.Load([]byte(spoiled), softtpm.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := softtpm.LoadFile(filepath.Join(t.TempDir(), "none"), softtpm.Options{}); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
	tpm := load(t, eccState, softtpm.Options{})
	if err := tpm.SaveFile(filepath.Join(t.TempDir(), "none", "tpm.json")); err == nil {
		t.Error("saved into a directory that does not exist")
	}
}

// TestCredential: a credential opens for its TPM and AK alone.
func TestCredential(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]func() ([]byte, error){"rsa": rsaState, "ecc": eccState} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tpm := load(t, state, softtpm.Options{})
			secret := []byte("AcNE64lADP78DOcDE1v5OrW1KuBMXJcu")
			good, err := softtpm.MakeCredential(tpm.EKPublic(), tpm.AKName(), secret, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tpm.ActivateCredential(good); err != nil || !bytes.Equal(got, secret) {
				t.Fatalf("%q, %v", got, err)
			}
			otherAK, err := softtpm.MakeCredential(tpm.EKPublic(), append(tpm.AKName(), 0), secret, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tpm.ActivateCredential(otherAK); err == nil {
				t.Error("a credential for another AK was opened")
			}
			for i := range good { // every byte counts
				bad := bytes.Clone(good)
				bad[i] ^= 1
				if _, err := tpm.ActivateCredential(bad); err == nil {
					t.Errorf("byte %d can be changed", i)
				}
			}
			for i := range good {
				if _, err := tpm.ActivateCredential(good[:i]); err == nil {
					t.Errorf("%d bytes are enough", i)
				}
			}
			if _, err := tpm.ActivateCredential(append(bytes.Clone(good), 0)); err == nil {
				t.Error("a byte may follow")
			}
		})
	}
}

// TestMakeCredentialRefuses: what cannot be opened is not made.
func TestMakeCredentialRefuses(t *testing.T) {
	t.Parallel()
	tpm := load(t, rsaState, softtpm.Options{})
	for name, err := range map[string]error{
		"no EK":            second(softtpm.MakeCredential(nil, tpm.AKName(), []byte("s"), nil)),
		"an AK for an EK":  second(softtpm.MakeCredential(tpm.AKPublic(), tpm.AKName(), []byte("s"), nil)),
		"no secret":        second(softtpm.MakeCredential(tpm.EKPublic(), tpm.AKName(), nil, nil)),
		"secret too long":  second(softtpm.MakeCredential(tpm.EKPublic(), tpm.AKName(), make([]byte, 33), nil)),
		"no random number": second(softtpm.MakeCredential(tpm.EKPublic(), tpm.AKName(), []byte("s"), strings.NewReader(""))),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestTransportKey: RSA-2048, lines of 64 columns, newline at the end.
func TestTransportKey(t *testing.T) {
	t.Parallel()
	key, err := softtpm.NewTransportKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := softtpm.TransportKeyPEM(&key.PublicKey)
	if err != nil || key.N.BitLen() != 2048 {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	if lines[0] != "-----BEGIN PUBLIC KEY-----" || len(lines[1]) != 64 || lines[len(lines)-1] != "" || lines[len(lines)-2] != "-----END PUBLIC KEY-----" {
		t.Errorf("%q", text)
	}
	if block, rest := pem.Decode([]byte(text)); block == nil || len(rest) != 0 {
		t.Error("not one PEM block")
	}
}

// TestKeys: the key handed out is that of the public area.
func TestKeys(t *testing.T) {
	t.Parallel()
	if _, ok := load(t, rsaState, softtpm.Options{}).EKKey().(*rsa.PublicKey); !ok {
		t.Error("the EK is not RSA")
	}
	tpm := load(t, eccState, softtpm.Options{})
	if _, ok := tpm.EKKey().(*ecdsa.PublicKey); !ok || tpm.EncAlg() != "ecc256" || tpm.SignAlg() != "ecdsa" {
		t.Error("the EK is not ECC")
	}
}

// TestAttestIsWellFormed: go-tpm reads the attestation as it was meant.
func TestAttestIsWellFormed(t *testing.T) {
	t.Parallel()
	attest, sig, _, err := load(t, eccState, softtpm.Options{}).Quote([]byte("nonce"), []int{0, 23}, "sha1")
	if err != nil {
		t.Fatal(err)
	}
	a, err := tpm2.Unmarshal[tpm2.TPMSAttest](attest)
	if err != nil || !bytes.Equal(tpm2.Marshal(*a), attest) {
		t.Fatalf("attestation: %v", err)
	}
	info, err := a.Attested.Quote()
	if err != nil {
		t.Fatal(err)
	}
	if s := info.PCRSelect.PCRSelections; len(s) != 1 || s[0].Hash != tpm2.TPMAlgSHA1 || !bytes.Equal(s[0].PCRSelect, []byte{1, 0, 0x80}) {
		t.Errorf("%+v", s)
	}
	if s, err := tpm2.Unmarshal[tpm2.TPMTSignature](sig); err != nil || !bytes.Equal(tpm2.Marshal(*s), sig) {
		t.Errorf("signature: %v", err)
	}
}

package tpmdev

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

const (
	nonce    = "Zq8xT0aB4cD5eF6gH7iJ"
	ekHandle = 0x81010001
	akHandle = 0x81010002
)

var boot = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15}

// newTPM is a TPM in software with some registers extended. Its keys are ECC,
// which are made quickly.
func newTPM(t *testing.T) *softtpm.TPM {
	t.Helper()
	soft, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		if err := soft.Extend("sha256", n, bytes.Repeat([]byte{byte(n)}, 32)); err != nil {
			t.Fatal(err)
		}
	}
	return soft
}

// empty fails if a device holds something.
func empty(t *testing.T, d *softtpm.Device) {
	t.Helper()
	if keys, sessions := d.Held(); keys+sessions > 0 {
		t.Errorf("%d keys and %d sessions are left in the TPM", keys, sessions)
	}
}

// TestAttest: quotes that tenant/quote accepts, with every kind of key and bank,
// and nothing that stays.
func TestAttest(t *testing.T) {
	t.Parallel()
	soft := newTPM(t)
	d := softtpm.NewDevice(soft, softtpm.DeviceOptions{EndorsementAuth: []byte("pw"), Persistent: []uint32{ekHandle}})
	var ek []byte
	for _, c := range []struct {
		Request
		bank, ek, ak, scheme string
	}{
		{Request{}, "sha256", "rsa2048", "rsa2048", "rsassa"},
		{Request{Keys: "ecc"}, "sha256", "ecc256", "ecc256", "ecdsa"},
		{Request{Keys: "ecc256", Hash: "sha1", Signing: "ecdsa"}, "sha1", "ecc256", "ecc256", "ecdsa"},
		{Request{Keys: "ecc", Hash: "sha384"}, "sha384", "ecc256", "ecc256", "ecdsa"},
		{Request{Keys: "rsa", EKHandle: ekHandle}, "sha256", "ecc256", "rsa2048", "rsassa"},
	} {
		r := c.Request
		r.Nonce, r.PCRs, r.EndorsementPassword = nonce, slices.Concat([]int{17}, boot, boot), "pw"
		e, err := Over(d, "soft").Attest(context.Background(), r)
		if err != nil {
			t.Fatalf("%+v: %v", c.Request, err)
		}
		empty(t, d)
		v, err := quote.Verify(quote.Untrusted{Quote: e.Quote, HashAlg: e.HashAlg, SignAlg: e.SignAlg, EncAlg: e.AKAlg},
			quote.Expect{AK: e.AK, Nonce: nonce, Selection: append(slices.Clone(boot), 17)})
		if err != nil {
			t.Fatalf("%+v: %v", c.Request, err)
		}
		if e.HashAlg != c.bank || e.EKAlg != c.ek || e.AKAlg != c.ak || e.SignAlg != c.scheme || e.Tries != 1 || v.Bank() != c.bank || v.AKAlgorithm() != c.ak {
			t.Errorf("%+v: %s %s %s %s after %d tries", c.Request, e.HashAlg, e.EKAlg, e.AKAlg, e.SignAlg, e.Tries)
		}
		want, err := soft.PCR(c.bank, 2)
		if got, _ := v.PCR(2); err != nil || !bytes.Equal(got, want) {
			t.Errorf("PCR 2 is %x, want %x", got, want)
		}
		// The registrar demands 0x00050072 of an AK (PROTOCOL.md 3.5).
		if v.AKAttributes() != 0x00050072 {
			t.Errorf("the AK has attributes %#x", v.AKAttributes())
		}
		if c.ek == "ecc256" {
			// The same EK each time: that of the TPM.
			if ek = soft.EKPublic(); !bytes.Equal(e.EK, ek) {
				t.Errorf("another EK than the TPM's")
			}
		}
	}
}

// TestAttestRefused: every failure is named, and leaves nothing in the TPM.
func TestAttestRefused(t *testing.T) {
	t.Parallel()
	soft := newTPM(t)
	moving := func(code tpm2.TPMCC) tpm2.TPMRC {
		if code == tpm2.TPMCCQuote {
			if err := soft.Extend("sha384", 0, make([]byte, 48)); err != nil {
				return tpm2.TPMRCFailure
			}
		}
		return tpm2.TPMRCSuccess
	}
	refusing := func(what tpm2.TPMCC, with tpm2.TPMRC) func(tpm2.TPMCC) tpm2.TPMRC {
		return func(code tpm2.TPMCC) tpm2.TPMRC {
			if code == what {
				return with
			}
			return tpm2.TPMRCSuccess
		}
	}
	for name, c := range map[string]struct {
		o    softtpm.DeviceOptions
		r    Request
		kind Kind
		text string
	}{
		"password":             {softtpm.DeviceOptions{EndorsementAuth: []byte("pw")}, Request{EndorsementPassword: "hush"}, Password, "making the EK"},
		"password of a policy": {softtpm.DeviceOptions{EndorsementAuth: []byte("pw")}, Request{EKHandle: ekHandle, EndorsementPassword: "hush"}, Password, "authorising the use of the EK"},
		"lockout":              {softtpm.DeviceOptions{Before: refusing(tpm2.TPMCCCreatePrimary, tpm2.TPMRCLockout)}, Request{}, Password, "TPM_RC_LOCKOUT"},
		"hierarchy":            {softtpm.DeviceOptions{Before: refusing(tpm2.TPMCCCreatePrimary, tpm2.TPMRCHierarchy)}, Request{}, Password, "making the EK"},
		"no key":               {softtpm.DeviceOptions{}, Request{EKHandle: 0x81010009}, NoKey, "reading the EK at 0x81010009: there is no key"},
		"no EK":                {softtpm.DeviceOptions{}, Request{EKHandle: akHandle}, NoKey, "no EK"},
		"bank":                 {softtpm.DeviceOptions{}, Request{Hash: "sha512"}, NoBank, "no bank of PCRs of the hash sha512, but sha1, sha256, sha384"},
		"hash":                 {softtpm.DeviceOptions{}, Request{Hash: "md5"}, Unsupported, "use sha1, sha256, sha384 or sha512"},
		"keys":                 {softtpm.DeviceOptions{}, Request{Keys: "dsa"}, Unsupported, "unknown kind of key"},
		"scheme of others":     {softtpm.DeviceOptions{}, Request{Keys: "ecc", Signing: "rsassa"}, Unsupported, "does not go with keys of kind ecc256"},
		"scheme":               {softtpm.DeviceOptions{}, Request{Signing: "rsapss"}, Unsupported, "no verifier takes"},
		"register":             {softtpm.DeviceOptions{}, Request{PCRs: []int{24}}, Unsupported, "no PCR 24"},
		"no register":          {softtpm.DeviceOptions{}, Request{PCRs: []int{}}, Unsupported, "no PCR is to be quoted"},
		"full of keys":         {softtpm.DeviceOptions{Objects: 1}, Request{}, Occupied, "loading the AK"},
		"moving":               {softtpm.DeviceOptions{Before: moving}, Request{Hash: "sha384"}, Moving, "10 times"},
		"algorithm":            {softtpm.DeviceOptions{Before: refusing(tpm2.TPMCCCreate, tpm2.TPMRCHash)}, Request{}, Unsupported, "making an AK"},
		"failure":              {softtpm.DeviceOptions{Before: refusing(tpm2.TPMCCQuote, tpm2.TPMRCFailure)}, Request{}, Failed, "quoting"},
		"busy for ever":        {softtpm.DeviceOptions{Before: refusing(tpm2.TPMCCGetCapability, tpm2.TPMRCRetry)}, Request{}, Failed, "TPM_RC_RETRY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.o.Persistent, c.o.PersistentAK = []uint32{ekHandle}, []uint32{akHandle}
			d := softtpm.NewDevice(soft, c.o)
			if c.r.Keys == "" && c.r.Signing == "" {
				c.r.Keys = "ecc"
			}
			if c.r.PCRs == nil {
				c.r.PCRs = boot
			}
			e, err := Over(d, "soft").Attest(context.Background(), c.r)
			known := new(Error)
			if e != nil || !errors.As(err, &known) || known.Kind != c.kind || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %s and %q", err, c.kind, c.text)
			}
			if known.Kind != Unsupported && known.TPM != "soft" || strings.Contains(fmt.Sprintf("%v %+v %#v", err, known, c.r), "hush") {
				t.Errorf("%+v", known)
			}
			empty(t, d)
		})
	}
}

// TestAttestMoved: registers that move once are read again.
func TestAttestMoved(t *testing.T) {
	t.Parallel()
	soft := newTPM(t)
	quotes := 0
	d := softtpm.NewDevice(soft, softtpm.DeviceOptions{Before: func(code tpm2.TPMCC) tpm2.TPMRC {
		if code == tpm2.TPMCCQuote {
			if quotes++; quotes == 1 {
				if err := soft.Extend("sha256", 7, make([]byte, 32)); err != nil {
					return tpm2.TPMRCFailure
				}
			}
			if quotes == 2 {
				quotes++
				return tpm2.TPMRCRetry // busy, which is nothing
			}
		}
		return tpm2.TPMRCSuccess
	}})
	e, err := Over(d, "soft").Attest(context.Background(), Request{Keys: "ecc", Nonce: nonce, PCRs: boot})
	if err != nil || e.Tries != 2 {
		t.Fatalf("%+v, %v", e, err)
	}
	if _, err := quote.Verify(quote.Untrusted{Quote: e.Quote, HashAlg: e.HashAlg}, quote.Expect{AK: e.AK, Nonce: nonce}); err != nil {
		t.Error(err)
	}
	empty(t, d)
}

// TestAttestInterrupted: whichever command fails, or is the last before the
// caller gives up, what was made is flushed.
func TestAttestInterrupted(t *testing.T) {
	t.Parallel()
	soft := newTPM(t)
	for _, how := range []string{"cancel", "fail"} {
		for last := 1; ; last++ {
			ctx, cancel := context.WithCancel(context.Background())
			n := 0
			d := softtpm.NewDevice(soft, softtpm.DeviceOptions{Before: func(code tpm2.TPMCC) tpm2.TPMRC {
				n++
				switch {
				case n != last || code == tpm2.TPMCCFlushContext:
				case how == "cancel":
					cancel() // the command itself is executed
				default:
					return tpm2.TPMRCFailure
				}
				return tpm2.TPMRCSuccess
			}})
			_, err := Over(d, "soft").Attest(ctx, Request{Keys: "ecc", PCRs: []int{1}})
			cancel()
			empty(t, d)
			if n < last {
				if err != nil || last < 10 {
					t.Errorf("%d commands, %v", n, err)
				}
				break
			}
			if how == "cancel" && err != nil && !errors.Is(err, context.Canceled) || how == "fail" && err != nil && !errors.Is(err, tpm2.TPMRCFailure) {
				t.Errorf("%s at command %d: %v", how, last, err)
			}
		}
	}
}

// TestFlushRefused: what could not be flushed is told.
func TestFlushRefused(t *testing.T) {
	t.Parallel()
	d := softtpm.NewDevice(newTPM(t), softtpm.DeviceOptions{Before: func(code tpm2.TPMCC) tpm2.TPMRC {
		if code == tpm2.TPMCCFlushContext {
			return tpm2.TPMRCFailure
		}
		return tpm2.TPMRCSuccess
	}})
	if _, err := Over(d, "soft").Attest(context.Background(), Request{Keys: "ecc", PCRs: boot}); err == nil || !strings.Contains(err.Error(), "flushing 0x") {
		t.Error(err)
	}
}

// liar is a transport that changes the answers of another one.
type liar struct {
	to     *softtpm.Device
	change func(n int, answer []byte) []byte
	n      int
}

func (l *liar) Send(command []byte) ([]byte, error) {
	answer, err := l.to.Send(command)
	l.n++
	return l.change(l.n, answer), err
}

// TestNoTPM: what answers, but not as a TPM does.
func TestNoTPM(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string][]byte{"nothing": nil, "short": {0x80, 1}, "length": {0x80, 1, 0, 0, 0, 11, 0, 0, 0, 0}, "tag": {0, 0, 0, 0, 0, 10, 0, 0, 0, 0}} {
		l := &liar{to: softtpm.NewDevice(newTPM(t), softtpm.DeviceOptions{}), change: func(int, []byte) []byte { return answer }}
		_, err := Over(l, "liar").Attest(context.Background(), Request{PCRs: boot})
		if known := new(Error); !errors.As(err, &known) || known.Kind != NoTPM {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Other registers than those asked for.
	l := &liar{to: softtpm.NewDevice(newTPM(t), softtpm.DeviceOptions{}), change: func(_ int, answer []byte) []byte {
		return bytes.Replace(answer, []byte{0, 0x0b, 3, 0x06, 0, 0}, []byte{0, 0x0b, 3, 0x0c, 0, 0}, 1)
	}}
	if _, err := Over(l, "liar").Attest(context.Background(), Request{Keys: "ecc", PCRs: []int{1, 2}}); err == nil || !strings.Contains(err.Error(), "other registers") {
		t.Error(err)
	}
}

// FuzzAnswers: no answer of a TPM makes us panic, or takes us for ever.
func FuzzAnswers(f *testing.F) {
	soft, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		f.Fatal(err)
	}
	l := &liar{to: softtpm.NewDevice(soft, softtpm.DeviceOptions{}), change: func(n int, answer []byte) []byte {
		f.Add(n, answer)
		return answer
	}}
	if _, err := Over(l, "liar").Attest(context.Background(), Request{Keys: "ecc", PCRs: []int{1}}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which int, instead []byte) {
		if len(instead) >= 6 {
			binary.BigEndian.PutUint32(instead[2:], uint32(len(instead))) // past the first check
		}
		l := &liar{to: softtpm.NewDevice(soft, softtpm.DeviceOptions{}), change: func(n int, answer []byte) []byte {
			if n == which {
				return instead
			}
			return answer
		}}
		e, err := Over(l, "liar").Attest(context.Background(), Request{Keys: "ecc", PCRs: []int{1}})
		if (e == nil) == (err == nil) {
			t.Errorf("%v and %v", e, err)
		}
	})
}

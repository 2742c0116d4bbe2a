package quote_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

func sha256Of(data []byte) []byte {
	d := sha256.Sum256(data)
	return d[:]
}

// TestClock: the rule of PROTOCOL.md 6.3, with the baseline kept always.
func TestClock(t *testing.T) {
	t.Parallel()
	type clock = quote.Clock
	for _, c := range []struct {
		name   string
		before *clock
		now    clock
		want   quote.Check
	}{
		{"first quote", nil, clock{1, 0, 0, true}, ""},
		{"first quote, clock zero", nil, clock{0, 0, 0, true}, quote.CheckClockTime},
		{"first quote, both counts changed", nil, clock{0, 1, 1, true}, ""},
		{"later", &clock{10, 1, 1, true}, clock{11, 1, 1, true}, ""},
		{"equal", &clock{10, 1, 1, true}, clock{10, 1, 1, true}, quote.CheckClockTime},
		{"earlier", &clock{10, 1, 1, true}, clock{9, 1, 1, true}, quote.CheckClockTime},
		{"not safe", &clock{10, 1, 1, true}, clock{11, 1, 1, false}, quote.CheckClockSafe},
		{"reboot, later", &clock{10, 1, 0, true}, clock{11, 2, 0, true}, ""},
		{"reboot, earlier", &clock{10, 1, 0, true}, clock{9, 2, 0, true}, quote.CheckClockTime},
		{"resume, later", &clock{10, 1, 0, true}, clock{11, 1, 1, true}, ""},
		{"resume, earlier", &clock{10, 1, 0, true}, clock{9, 1, 1, true}, quote.CheckClockTime},
		{"both changed, earlier", &clock{10, 1, 0, true}, clock{9, 2, 1, true}, ""},
		{"resets back", &clock{10, 2, 0, true}, clock{11, 1, 0, true}, quote.CheckClockReset},
		{"restarts back", &clock{10, 1, 2, true}, clock{11, 1, 1, true}, quote.CheckClockRestart},
		{"a reboot begins the restarts anew", &clock{10, 1, 2, true}, clock{11, 2, 0, true}, ""},
		{"an unsafe baseline counts all the same", &clock{10, 1, 1, false}, clock{10, 1, 1, true}, quote.CheckClockTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newResigned(t, "ecc")
			r.attest.ClockInfo.Clock, r.attest.ClockInfo.ResetCount = c.now.Clock, c.now.ResetCount
			r.attest.ClockInfo.RestartCount, r.attest.ClockInfo.Safe = c.now.RestartCount, tpm2.TPMIYesNo(c.now.Safe)
			r.e.Clock = c.before
			u := r.sign(t, "ecc")
			expectCheck(t, u, r.e, c.want)
			if v, err := quote.Verify(u, r.e); err == nil && v.Clock() != c.now {
				t.Errorf("the next baseline is %+v, want the last values %+v", v.Clock(), c.now)
			}
		})
	}
}

// TestClockAcrossReboots: the recorded boots one after the other, and back.
func TestClockAcrossReboots(t *testing.T) {
	t.Parallel()
	first, second := recorded(t, "sb-on", "integrity", "rsa"), recorded(t, "sb-on-reboot", "identity", "rsa")
	v, err := quote.Verify(first.u, first.e)
	if err != nil {
		t.Fatal(err)
	}
	last := v.Clock()
	second.e.Clock = &last
	w, err := quote.Verify(second.u, second.e)
	if err != nil {
		t.Fatalf("the boot after %+v: %v", last, err)
	}
	last = w.Clock()
	first.e.Clock = &last
	expectCheck(t, first.u, first.e, quote.CheckClockReset)
}

// TestAccepted: lists, aliases, and what is not checked.
func TestAccepted(t *testing.T) {
	t.Parallel()
	r := recorded(t, "sb-on", "identity", "rsa")
	for _, c := range []struct {
		name     string
		reported string
		accepted []string
		want     quote.Check
	}{
		{"as reported", "rsa", []string{"rsa"}, ""},
		{"rsa is rsa2048", "rsa", []string{"rsa2048"}, ""},
		{"rsa2048 is rsa", "rsa2048", []string{"ecc384", "rsa"}, ""},
		{"ecc is ecc256", "ecc", []string{"ecc256"}, ""},
		{"ecc256 is ecc", "ecc256", []string{"ecc"}, ""},
		{"rsa3072 is not rsa", "rsa3072", []string{"rsa"}, quote.CheckAcceptedEnc},
		{"ecc is not ecc384", "ecc", []string{"ecc384"}, quote.CheckAcceptedEnc},
		{"not checked", "anything", nil, ""},
		{"nothing accepted", "rsa", []string{}, quote.CheckAcceptedEnc},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, e := r.u, r.e
			u.EncAlg, e.AcceptEnc = c.reported, c.accepted
			expectCheck(t, u, e, c.want)
		})
	}
}

// TestAlgorithms: every hash and key that Keylime has passes.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ak, hash, algorithm string }{
		{"rsa", "sha1", "rsa2048"}, {"ecc224", "sha256", "ecc224"}, {"ecc256", "sha384", "ecc256"}, {"ecc384", "sha384", "ecc384"}, {"ecc521", "sha256", "ecc521"},
	} {
		t.Run(c.ak+"/"+c.hash, func(t *testing.T) {
			t.Parallel()
			tpm, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: c.ak, Hash: c.hash})
			if err != nil {
				t.Fatal(err)
			}
			if err := tpm.BindTransportKey("key"); err != nil {
				t.Fatal(err)
			}
			q, err := tpm.QuoteString("nonce", []int{0, 7, 16, 23}, c.hash)
			if err != nil {
				t.Fatal(err)
			}
			v, err := quote.Verify(quote.Untrusted{Quote: q, HashAlg: c.hash, SignAlg: tpm.SignAlg(), TransportKeyPEM: "key"},
				quote.Expect{AK: tpm.AKPublic(), Nonce: "nonce", BindTransportKey: true, Selection: []int{0, 7, 16, 23}})
			if err != nil {
				t.Fatal(err)
			}
			if v.AKAlgorithm() != c.algorithm || v.Bank() != c.hash {
				t.Errorf("%s in bank %s", v.AKAlgorithm(), v.Bank())
			}
		})
	}
}

// TestErrorText: errors name check, expectation and finding; text of the agent
// is quoted and of limited length.
func TestErrorText(t *testing.T) {
	t.Parallel()
	r := recorded(t, "sb-on", "identity", "rsa")
	u := r.u
	u.HashAlg = strings.Repeat("\x1b[31m", 1000)
	_, err := quote.Verify(u, r.e)
	if text := err.Error(); len(text) > 1000 || strings.Contains(text, "\x1b") || !strings.Contains(text, "accepted-hash") || !strings.Contains(text, "sha384") {
		t.Errorf("text of the error: %q", text)
	}
	for _, c := range []struct {
		e    quote.VerificationError
		want string
	}{
		{quote.VerificationError{Check: quote.CheckNonce, Expected: "a", Found: "b"}, `quote refused by check "nonce": expected a, found b`},
		{quote.VerificationError{Check: quote.CheckNonce, Expected: "a"}, `quote refused by check "nonce": expected a`},
		{quote.VerificationError{Check: quote.CheckNonce, Found: "b"}, `quote refused by check "nonce": found b`},
	} {
		if got := c.e.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

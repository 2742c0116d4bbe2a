package tenant

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/policy/runtime"
)

// fixture reads a file of the recorded runs of the Python tenant.
func fixture(t *testing.T, name string) *Input {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "testdata", "golden", "fixtures", name))
	if err != nil {
		t.Fatal(err)
	}
	return &Input{Name: name, Content: content}
}

// ecSignature makes an EC key in PEM and its signature of a file.
func ecSignature(t *testing.T, content []byte) (keyPEM, signature []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(content)
	if signature, err = ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), signature
}

// policyTest is an input, and either why it is refused or what becomes of it.
type policyTest struct {
	name string
	in   PolicyInput
	// modern and classic are how it is refused, "" for not.
	modern, classic InvalidKind
	// text must be in the classic text of the refusal.
	text string
	// warned is what the classic mode warns of instead.
	warned WarningKind
	hold   func(t *testing.T, p checkedPolicies, n notes)
}

func policyTests(t *testing.T) []policyTest {
	good, signed, key := fixture(t, "rp-good.json"), fixture(t, "rp-signed.json"), fixture(t, "ec.pub")
	sum := sha256.Sum256(good.Content)
	checksum := hex.EncodeToString(sum[:])
	rsa := fixture(t, "rsa.pub")
	sigKey, sig := ecSignature(t, rsa.Content)
	zero := strings.Repeat("0", 64)
	broken := &Input{Name: "broken.json", Content: []byte(strings.Replace(goodRuntime, `"excludes": []`, `"excludes": ["(", "/tmp/.*"]`, 1))}
	excludesOf := func(t *testing.T, p checkedPolicies) []string {
		t.Helper()
		policy, err := runtime.ParsePolicy(p.runtime)
		if err != nil {
			t.Fatal(err)
		}
		return policy.Excludes
	}
	return []policyTest{
		{name: "nothing", hold: func(t *testing.T, p checkedPolicies, n notes) {
			if p.tpmWire() != `{"mask": "0x0"}` || p.runtimeWire() != "" || p.measuredBoot != nil || p.imaKeys != "" || len(n) > 0 {
				t.Errorf("got %+v, %v", p, n)
			}
		}},
		{name: "runtime policy", in: PolicyInput{Runtime: good, Checksum: checksum}, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if p.runtimeWire() != base64.StdEncoding.EncodeToString(good.Content) || p.runtimeKeyWire() != "" || p.mask.Final != imaMask || p.mask.FromPolicy != 0 {
				t.Errorf("mask %+v, policy of %d bytes", p.mask, len(p.runtime))
			}
		}},
		{name: "runtime policy by name", in: PolicyInput{RuntimeName: "web"}, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if p.runtimeName != "web" || p.runtime != nil || p.mask.Final != imaMask {
				t.Errorf("got %+v", p)
			}
		}},
		{name: "bad name", in: PolicyInput{RuntimeName: "a/b"}, modern: InvalidPolicyName, classic: InvalidPolicyName},
		{name: "bad name of the other kind", in: PolicyInput{MeasuredBootName: ".."}, modern: InvalidPolicyName, classic: InvalidPolicyName},
		{name: "checksum in capitals", in: PolicyInput{Runtime: good, Checksum: strings.ToUpper(checksum)}, classic: InvalidChecksum, text: "Checksum of runtime policy does not match! Expected " + strings.ToUpper(checksum) + ", Calculated " + checksum},
		{name: "checksum of another file", in: PolicyInput{Runtime: good, Checksum: zero}, modern: InvalidChecksum, classic: InvalidChecksum, text: "Checksum of runtime policy does not match!"},
		{name: "checksum of no file", in: PolicyInput{Checksum: checksum}, modern: InvalidChecksum, classic: InvalidChecksum},
		{name: "not JSON", in: PolicyInput{Runtime: fixture(t, "rp-malformed.json")}, modern: InvalidRuntimePolicy, classic: InvalidRuntimePolicy},
		{name: "empty file", in: PolicyInput{Runtime: &Input{Name: "p"}}, modern: InvalidRuntimePolicy, classic: InvalidRuntimePolicy},
		{name: "a list", in: PolicyInput{Runtime: &Input{Name: "p", Content: []byte("[]")}}, modern: InvalidRuntimePolicy, classic: InvalidRuntimePolicy},
		{name: "against the schema", in: PolicyInput{Runtime: &Input{Name: "p", Content: []byte("{}\n")}}, modern: InvalidRuntimePolicy, warned: WarnSchema, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if string(p.runtime) != "{}\n" {
				t.Errorf("policy %s", p.runtime)
			}
		}},
		{name: "a bad exclude in the policy", in: PolicyInput{Runtime: broken}, modern: InvalidExclude, warned: WarnPolicyOpen},
		{name: "policy and allowlist", in: PolicyInput{Runtime: good, Allowlist: good}, modern: InvalidRuntimePolicy, classic: InvalidRuntimePolicy},

		{name: "signed", in: PolicyInput{Runtime: signed, SignatureKey: key}, hold: func(t *testing.T, p checkedPolicies, n notes) {
			if string(p.runtime) != string(signed.Content) || string(p.runtimeKey) != string(key.Content) || !sameJSON(string(p.payload), good.Content) {
				t.Errorf("got %d and %d bytes", len(p.runtime), len(p.payload))
			}
			if !slices.Contains(n, Event(SignatureVerified{Name: signed.Name})) {
				t.Errorf("notes %v", n)
			}
		}},
		{name: "signed by another", in: PolicyInput{Runtime: signed, SignatureKey: fixture(t, "ec2.pub")}, modern: InvalidSignature, classic: InvalidSignature, text: "Validation for runtime policy rp-signed.json failed! Error: Runtime policy failed DSSE signature verification!"},
		{name: "tampered with", in: PolicyInput{Runtime: fixture(t, "rp-signed-tampered.json"), SignatureKey: key}, modern: InvalidSignature, classic: InvalidSignature, text: "failed DSSE signature verification"},
		{name: "signed, no key", in: PolicyInput{Runtime: signed}, modern: InvalidSignature, classic: InvalidSignature, text: "signature verification required but no key was given!"},
		{name: "not signed, key given", in: PolicyInput{Runtime: good, SignatureKey: key}, modern: InvalidSignature, classic: InvalidSignature, text: "Runtime policy is not signed!"},
		{name: "key without a policy", in: PolicyInput{SignatureKey: key}, modern: InvalidSignature, classic: InvalidSignature},

		{name: "allowlist and excludes", in: PolicyInput{Allowlist: fixture(t, "allowlist.txt"), Exclude: fixture(t, "exclude.txt")}, warned: WarnDeprecated, hold: func(t *testing.T, p checkedPolicies, n notes) {
			if got := excludesOf(t, p); !slices.Equal(got, []string{"/tmp/.*", "/var/log/.*"}) || p.mask.Final != imaMask {
				t.Errorf("excludes %q, mask %+v", got, p.mask)
			}
			if !slices.Contains(n, Event(LegacyConverted{Name: "allowlist.txt", Flat: true})) {
				t.Errorf("notes %v", n)
			}
		}},
		{name: "allowlist that is a policy", in: PolicyInput{Allowlist: good}, modern: InvalidRuntimePolicy, classic: InvalidRuntimePolicy},
		{name: "excludes merged into a policy", in: PolicyInput{Runtime: good, Exclude: fixture(t, "exclude.txt")}, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if got := excludesOf(t, p); !slices.Contains(got, "/tmp/.*") || string(p.payload) != string(p.runtime) {
				t.Errorf("excludes %q", got)
			}
		}},
		{name: "excludes that are in the policy", in: PolicyInput{Runtime: good, Exclude: &Input{Name: "e", Content: []byte("\n")}}, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if string(p.runtime) != string(good.Content) {
				t.Error("the policy was written anew")
			}
		}},
		{name: "excludes that spoil each other", in: PolicyInput{Runtime: &Input{Name: "p", Content: []byte(strings.Replace(goodRuntime, `"excludes": []`, `"excludes": ["(?P<n>/a)"]`, 1))}, Exclude: &Input{Name: "e", Content: []byte(`(?P<n>/b)`)}}, modern: InvalidExclude, warned: WarnPolicyOpen},
		{name: "bad exclude", in: PolicyInput{Runtime: good, Exclude: fixture(t, "exclude-bad.txt")}, modern: InvalidExclude, classic: InvalidExclude},
		{name: "excludes for a signed policy", in: PolicyInput{Runtime: signed, SignatureKey: key, Exclude: fixture(t, "exclude.txt")}, modern: InvalidExclude, classic: InvalidExclude},
		{name: "excludes for no real policy", in: PolicyInput{Runtime: &Input{Name: "p", Content: []byte("{}")}, Exclude: fixture(t, "exclude.txt")}, modern: InvalidRuntimePolicy, classic: InvalidExclude},
		{name: "excludes alone", in: PolicyInput{Exclude: fixture(t, "exclude.txt")}, warned: WarnExcludeAlone, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if p.runtime != nil || p.mask.Final != 0 {
				t.Errorf("got %+v", p)
			}
		}},
		{name: "excludes with a boot policy only", in: PolicyInput{Exclude: fixture(t, "exclude.txt"), MeasuredBoot: fixture(t, "mb-good.json")}, warned: WarnExcludeAlone},
		{name: "excludes for a stored policy", in: PolicyInput{Exclude: fixture(t, "exclude.txt"), RuntimeName: "web"}, warned: WarnExcludeAlone},
		{name: "comments in an exclude list", in: PolicyInput{Runtime: good, Exclude: &Input{Name: "e", Content: []byte("# text\n/tmp/.*\n")}}, warned: WarnExcludeComment},

		{name: "measured boot", in: PolicyInput{MeasuredBoot: fixture(t, "mb-good.json")}, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if p.measuredBoot == nil || !sameJSON(*p.measuredBoot, fixture(t, "mb-good.json").Content) || !strings.HasPrefix(*p.measuredBoot, `{"has_secureboot": true, "scrtm_and_bios": [{"scrtm": {"sha256": `) {
				t.Error("the policy was changed")
			}
			if p.mask != (PolicyMask{Final: mbMask, MeasuredBoot: true}) {
				t.Errorf("mask %+v", p.mask)
			}
		}},
		{name: "measured boot by name", in: PolicyInput{MeasuredBootName: "boot"}, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if p.measuredBoot != nil || p.measuredBootName != "boot" || p.mask != (PolicyMask{Final: mbMask}) {
				t.Errorf("got %+v", p)
			}
		}},
		{name: "measured boot, not JSON", in: PolicyInput{MeasuredBoot: fixture(t, "mb-malformed.json")}, modern: InvalidMBPolicy, classic: InvalidMBPolicy},
		{name: "measured boot, nothing in it", in: PolicyInput{MeasuredBoot: &Input{Name: "m", Content: []byte("{}")}}},
		{name: "measured boot, something else", in: PolicyInput{MeasuredBoot: fixture(t, "mb-list.json")}},

		{name: "tpm_policy", in: PolicyInput{TPM: `{"22": "` + strings.Repeat("F", 64) + `", "15": ["` + zero + `"]}`}, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if want := `{"22": ["` + strings.Repeat("f", 64) + `"], "15": ["` + zero + `"], "mask": "0x408000"}`; p.tpmWire() != want {
				t.Errorf("got %s, want %s", p.tpmWire(), want)
			}
		}},
		{name: "tpm_policy with all the rest", in: PolicyInput{TPM: `{"22": "` + zero + `"}`, Runtime: good, MeasuredBoot: fixture(t, "mb-good.json")}, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			if p.mask.Final != 0x40ffff || p.mask.FromPolicy != 0x400000 {
				t.Errorf("mask %+v", p.mask)
			}
		}},
		{name: "a register of measured boot", in: PolicyInput{TPM: `{"15": "` + zero + `"}`, MeasuredBoot: fixture(t, "mb-good.json")}, modern: PCROwned, classic: PCROwned,
			text: `WARNING: PCR 15 is specified in "tpm_policy", but will in fact be used by measured boot. Please remove it from policy`},
		{name: "a register of measured boot, with a bad digest", in: PolicyInput{TPM: `{"15": "00"}`, MeasuredBoot: fixture(t, "mb-good.json")}, modern: PCROwned, classic: PCROwned},
		{name: "a register of measured boot, by name", in: PolicyInput{TPM: `{"15": "` + zero + `"}`, MeasuredBootName: "boot"}, modern: PCROwned, warned: WarnPCROwner},
		{name: "a bank that is not accepted", in: PolicyInput{TPM: `{"22": "` + strings.Repeat("0", 40) + `"}`}, modern: InvalidTPMPolicy, warned: WarnUnsatisfiable},
		{name: "a bank that is not accepted beside one that is", in: PolicyInput{TPM: `{"22": ["` + strings.Repeat("0", 40) + `", "` + zero + `"]}`}},

		{name: "IMA keys", in: PolicyInput{IMAKeys: []KeyInput{{Key: *rsa}}}, warned: WarnDeprecated, hold: func(t *testing.T, p checkedPolicies, _ notes) {
			var ring struct {
				PubKeys []string
				KeyIDs  []int64
			}
			if err := json.Unmarshal([]byte(p.imaKeys), &ring); err != nil || len(ring.PubKeys) != 1 || p.mask.Final != imaMask {
				t.Errorf("keyring %s, mask %+v", p.imaKeys, p.mask)
			}
		}},
		{name: "signed IMA key", in: PolicyInput{IMAKeys: []KeyInput{{Key: *rsa, Signature: &Input{Name: "s", Content: sig}, SignatureKey: &Input{Name: "k", Content: sigKey}}}}, hold: func(t *testing.T, _ checkedPolicies, n notes) {
			if !slices.Contains(n, Event(SignatureVerified{Name: rsa.Name, Key: true})) {
				t.Errorf("notes %v", n)
			}
		}},
		{name: "IMA key that is none", in: PolicyInput{IMAKeys: []KeyInput{{Key: *good}}}, modern: InvalidKeyFile, classic: InvalidKeyFile},
		{name: "IMA key, signature of another file", in: PolicyInput{IMAKeys: []KeyInput{{Key: *key, Signature: &Input{Name: "s", Content: sig}, SignatureKey: &Input{Name: "k", Content: sigKey}}}}, modern: InvalidSignature, classic: InvalidSignature,
			text: `IMA file signing key signature verification failed for "` + key.Name + `" against signature "s" using key "k"`},
		{name: "IMA key, signature without key", in: PolicyInput{IMAKeys: []KeyInput{{Key: *rsa, Signature: &Input{Name: "x.sig"}}}}, modern: InvalidSignature, classic: InvalidSignature, text: "A gpg key is missing for key signature file 'x.sig'"},
		{name: "IMA key, key without signature", in: PolicyInput{IMAKeys: []KeyInput{{Key: *rsa, SignatureKey: key}}}, modern: InvalidSignature, classic: InvalidSignature},
	}
}

func TestCheckPolicies(t *testing.T) {
	t.Parallel()
	accept := []string{"sha512", "sha384", "sha256"}
	for _, test := range policyTests(t) {
		for _, compat := range []bool{false, true} {
			want, mode := test.modern, "modern"
			if compat {
				want, mode = test.classic, "classic"
			}
			t.Run(test.name+", "+mode, func(t *testing.T) {
				t.Parallel()
				var n notes
				p, err := (&Tenant{}).checkPolicies(testID, test.in, accept, compat, &n)
				var invalid *InvalidError
				if want != "" {
					if !errors.As(err, &invalid) || invalid.Kind != want || invalid.Object == "" || strings.HasSuffix(invalid.Error(), ".") {
						t.Fatalf("error %v (%T), want %s", err, err, want)
					}
					if !strings.Contains(invalid.Classic, test.text) {
						t.Errorf("classic text %q, want %q", invalid.Classic, test.text)
					}
					if p.runtime != nil || p.tpm.values != nil {
						t.Error("policies beside an error")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				warned := slices.ContainsFunc(n, func(e Event) bool { w, ok := e.(Warning); return ok && w.Kind == test.warned })
				if compat && warned != (test.warned != "") {
					t.Errorf("warned of %s: %t; notes %+v", test.warned, warned, n)
				}
				if test.hold != nil {
					test.hold(t, p, n)
				}
			})
		}
	}
}

func TestMeasuredBootWarnings(t *testing.T) {
	t.Parallel()
	kinds := func(in PolicyInput, compat bool) (kinds []WarningKind) {
		var n notes
		if _, err := (&Tenant{}).checkPolicies(testID, in, nil, compat, &n); err != nil {
			t.Error(err)
		}
		for _, e := range n {
			if w, ok := e.(Warning); ok {
				kinds = append(kinds, w.Kind)
			}
		}
		return kinds
	}
	for _, test := range []struct {
		in   PolicyInput
		want []WarningKind
	}{
		{PolicyInput{MeasuredBoot: fixture(t, "mb-good.json")}, []WarningKind{WarnEnforcement}},
		{PolicyInput{MeasuredBootName: "boot"}, []WarningKind{WarnEnforcement}},
		{PolicyInput{MeasuredBoot: &Input{Content: []byte("{}")}}, []WarningKind{WarnPolicyOpen}},
		{PolicyInput{MeasuredBoot: &Input{Content: []byte(`{"a": 1}`)}}, []WarningKind{WarnPolicyOpen, WarnEnforcement}},
	} {
		if got := kinds(test.in, false); !slices.Equal(got, test.want) {
			t.Errorf("%+v: %v, want %v", test.in, got, test.want)
		}
		if got := kinds(test.in, true); len(got) > 0 {
			t.Errorf("%+v: the classic mode warns of %v", test.in, got)
		}
	}
}

func TestVerifyDetached(t *testing.T) {
	t.Parallel()
	content := []byte("a key\n")
	keyPEM, signature := ecSignature(t, content)
	rsaPEM := fixture(t, "rsa.pub").Content
	if err := verifyDetached(content, signature, append([]byte("\n"), keyPEM...), time.Now()); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct{ content, signature, key []byte }{
		"other content":   {[]byte("another"), signature, keyPEM},
		"no signature":    {content, nil, keyPEM},
		"RSA key":         {content, signature, rsaPEM},
		"no key":          {content, signature, nil},
		"cut key":         {content, signature, keyPEM[:60]},
		"key is no DER":   {content, signature, []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")},
		"cut OpenPGP key": {content, signature, []byte(pgpKeyBegin + "\n\nAAAA\n")},
	} {
		if err := verifyDetached(test.content, test.signature, test.key, time.Now()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

package tenant

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/payload"
)

func TestSealPayload(t *testing.T) {
	t.Parallel()
	keys, err := payload.NewKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := payload.WriteKeyFile(&file, keys); err != nil {
		t.Fatal(err)
	}
	sealed, err := payload.Seal(keys.K, []byte("secret files"), nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := payload.NewKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := payload.Seal(other.K, []byte("secret files"), nil)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name, content string) *Input { return &Input{Name: name, Content: []byte(content)} }
	plain, keyFile, packet := in("f.zip", "secret files"), in("keys.txt", file.String()), in("payload.txt", sealed+"\n")
	pkg := func() (*CertPackage, error) {
		return &CertPackage{Zip: []byte("zip"), Metadata: `{"cert_serial": 2}`, RevocationKeyPEM: payload.NewSecret([]byte("key"))}, nil
	}
	brokenCA := errors.New("the CA is broken")
	none := func(p sealedPayload) bool { return p.keys == nil && p.sealed == nil && p.metadata == "{}" }
	tests := []struct {
		name            string
		in              PayloadInput
		push            bool
		modern, classic InvalidKind
		warned          WarningKind // in the classic mode
		hold            func(p sealedPayload) bool
		err             error
	}{
		{name: "none", hold: none},
		{name: "plain", in: PayloadInput{Plain: plain}, hold: func(p sealedPayload) bool {
			opened, err := payload.Open(p.keys.K, *p.sealed)
			return err == nil && string(opened) == "secret files" && p.authTag == payload.AuthTag(p.keys.K, testID)
		}},
		{name: "empty", in: PayloadInput{Plain: in("f", "")}, modern: InvalidPayload, warned: WarnEmptyPayload, hold: func(p sealedPayload) bool { return p.sealed != nil }},
		{name: "just small enough", in: PayloadInput{Plain: in("f", strings.Repeat("x", 16)), MaxSize: 64}, hold: func(p sealedPayload) bool { return len(*p.sealed) == 64 }},
		{name: "too large", in: PayloadInput{Plain: in("f", strings.Repeat("x", 17)), MaxSize: 64}, modern: PayloadTooLarge, classic: PayloadTooLarge},
		{name: "keys alone", in: PayloadInput{KeyFile: keyFile}, hold: func(p sealedPayload) bool { return p.keys.K.Equal(keys.K) && p.sealed == nil }},
		{name: "keys and payload", in: PayloadInput{KeyFile: keyFile, Sealed: packet}, hold: func(p sealedPayload) bool { return *p.sealed == sealed }},
		{name: "keys and too large a payload", in: PayloadInput{KeyFile: keyFile, Sealed: packet, MaxSize: 10}, modern: PayloadTooLarge, classic: PayloadTooLarge},
		{name: "payload of other keys", in: PayloadInput{KeyFile: keyFile, Sealed: in("p", foreign)}, modern: InvalidPayload, classic: InvalidPayload},
		{name: "payload that is none", in: PayloadInput{KeyFile: keyFile, Sealed: in("p", "!")}, modern: InvalidPayload, classic: InvalidPayload},
		{name: "payload without keys", in: PayloadInput{Sealed: packet}, modern: PayloadSources, warned: WarnIgnoredPayload, hold: none},
		{name: "no keys in the key file", in: PayloadInput{KeyFile: in("k", "hello\n")}, modern: InvalidKeyFile, warned: WarnIgnoredPayload, hold: none},
		{name: "three lines that are no keys", in: PayloadInput{KeyFile: in("k", "a\nb\nc\n")}, modern: InvalidKeyFile, classic: InvalidKeyFile},
		{name: "package", in: PayloadInput{Package: pkg}, hold: func(p sealedPayload) bool {
			return p.metadata == `{"cert_serial": 2}` && string(p.revocationKey.Bytes()) == "key" && p.sealed != nil
		}},
		{name: "package that fails", in: PayloadInput{Package: func() (*CertPackage, error) { return nil, brokenCA }}, err: brokenCA},
		{name: "file and key", in: PayloadInput{Plain: plain, KeyFile: keyFile}, modern: PayloadSources, classic: PayloadSources},
		{name: "file and package", in: PayloadInput{Plain: plain, Package: pkg}, modern: PayloadSources, classic: PayloadSources},
		{name: "push", in: PayloadInput{Plain: plain}, push: true, modern: PayloadInPush, warned: WarnPushPayload, hold: none},
		{name: "push, package", in: PayloadInput{Package: func() (*CertPackage, error) { panic("asked for") }}, push: true, modern: PayloadInPush, warned: WarnPushPayload, hold: none},
		{name: "push, sealed", in: PayloadInput{Sealed: packet}, push: true, modern: PayloadInPush, warned: WarnPushPayload, hold: none},
	}
	for _, test := range tests {
		for _, compat := range []bool{false, true} {
			want := test.modern
			if compat {
				want = test.classic
			}
			var n notes
			p, err := (&Tenant{}).sealPayload(AddRequest{ID: testID, Push: test.push, Payload: test.in, Compat: compat}, &n)
			switch {
			case test.err != nil:
				if !errors.Is(err, test.err) {
					t.Errorf("%s, classic %t: error %v", test.name, compat, err)
				}
			case want != "":
				if !isInvalid(want)(err) {
					t.Errorf("%s, classic %t: error %v, want %s", test.name, compat, err, want)
				}
			case err != nil || !test.hold(p):
				t.Errorf("%s, classic %t: %+v, %v", test.name, compat, p, err)
			}
			if warned := len(n) == 1 && n[0].(Warning).Kind == test.warned; compat && warned != (test.warned != "") {
				t.Errorf("%s: notes %+v", test.name, n)
			}
			for _, e := range n {
				if strings.Contains(strings.ToLower(e.(Warning).Text), "error") {
					t.Errorf("%s: a warning says %q", test.name, e)
				}
			}
		}
	}
}

func TestNothingIsSentBeforeTheChecks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*AddRequest)
		kind  InvalidKind
	}{
		"id":            {func(r *AddRequest) { r.ID = ".." }, InvalidAgentID},
		"version":       {func(r *AddRequest) { r.APIVersion = "2x3" }, InvalidVersion},
		"payload size":  {func(r *AddRequest) { r.Payload.MaxSize = 10 }, PayloadTooLarge},
		"empty payload": {func(r *AddRequest) { r.Payload.Plain.Content = nil }, InvalidPayload},
		"verify":        {func(r *AddRequest) { r.VerifyKey, r.Payload = true, PayloadInput{} }, VerifyNeedsPayload},
		"policy":        {func(r *AddRequest) { r.Policies.TPM = "[]" }, InvalidTPMPolicy},
	} {
		w, r := newWorld(t), goodAdd()
		test.spoil(&r)
		if _, err := w.tenant(t).Add(context.Background(), r); !isInvalid(test.kind)(err) || len(w.calls()) > 0 {
			t.Errorf("%s: error %v, calls %q", name, err, w.calls())
		}
	}
}

func TestClassicPushIgnoresThePayload(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t), goodAdd()
	r.Push, r.Compat, r.VerifyKey = true, true, true
	result, err := w.tenant(t).Add(context.Background(), r)
	if err != nil || result.Payload || result.KeyVerified || w.posted[0].V != nil || !w.warned(WarnPushPayload) {
		t.Errorf("%+v, %v", result, err)
	}
}

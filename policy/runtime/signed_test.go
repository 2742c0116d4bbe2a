package runtime

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// sign makes a file signature with its header.
func sign(t testing.TB, key crypto.Signer, digest []byte) []byte {
	t.Helper()
	id, err := ima.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	value, err := key.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	sig := binary.BigEndian.AppendUint32([]byte{3, 2, 4}, id)
	return append(binary.BigEndian.AppendUint16(sig, uint16(len(value))), value...)
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var ring Keyring
	if err := errors.Join(ring.AddKey(r.Public(), 0), ring.AddKey(ec.Public(), 0)); err != nil {
		t.Fatal(err)
	}
	p := allow("/listed")
	p.VerificationKeys = ring.String()
	signed := func(path string, key crypto.Signer) line {
		return line{template: "ima-sig", digest: digest(path), path: path, last: sign(t, key, digest(path))}
	}
	wrong := signed("/wrong", r)
	wrong.last[len(wrong.last)-1]++
	other := signed("/other", r)
	other.digest = digest("changed")
	broken := signed("/broken", r)
	broken.last = broken.last[:len(broken.last)-1]
	for _, c := range []struct {
		name string
		l    line
		want string
	}{
		{"RSA", signed("/rsa", r), ""},
		{"EC", signed("/ec", ec), ""},
		{"listed, unsigned", line{template: "ima-sig", digest: digest("/listed"), path: "/listed"}, ""},
		{"unsigned", line{template: "ima-sig", digest: digest("/x"), path: "/x"}, CheckNotInPolicy},
		{"wrong value", wrong, CheckNotInPolicy},
		{"another digest", other, CheckNotInPolicy},
		{"listed with another digest, signed", signed("/listed", r), ""},
	} {
		v := judge(t, evaluator(t, p, Options{}), c.l)
		if checks(v) != c.want {
			t.Errorf("%s: %+v", c.name, v.Findings)
		}
		if c.name == "wrong value" && !strings.Contains(v.Findings[0].Message, "the signature does not count: signature was not made by its key") {
			t.Errorf("%s", v.Findings[0].Message)
		}
	}
	// A signature that cannot be read is taken as none, so its entry is another.
	if v := judge(t, evaluator(t, p, Options{}), broken); checks(v) != CheckTemplateHash+" "+CheckPCRMismatch {
		t.Errorf("%+v", v.Findings)
	}
	// The keyring of a request replaces that of the policy.
	if v := judge(t, evaluator(t, p, Options{Keyring: &Keyring{}}), signed("/rsa", r)); checks(v) != CheckNotInPolicy {
		t.Errorf("%+v", v.Findings)
	}
	// The recorded line of Keylime, with the recorded keyring.
	var vectors struct {
		Ring struct{ String string } `json:"ima_keyring"`
		Sig  struct {
			Line string
			PCR  string `json:"pcr10_sha256_after"`
		} `json:"ima_sig_line"`
	}
	if err := json.Unmarshal(read(t, "../../testdata/vectors/vectors.json"), &vectors); err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeyring(vectors.Ring.String)
	if err != nil {
		t.Fatal(err)
	}
	pcr, _ := hex.DecodeString(vectors.Sig.PCR)
	v, err := evaluator(t, Empty(), Options{Keyring: keys}).Evaluate(context.Background(), nil, Evidence{List: strings.NewReader(vectors.Sig.Line), PCR10: pcr, Bank: "sha256"})
	if err != nil || !v.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestBuffers: keys that the policy allows are learned and sign later entries.
func TestBuffers(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := x509.MarshalPKIXPublicKey(edKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	buf := func(name string, content []byte) line {
		d := sha256.Sum256(content)
		return line{template: "ima-buf", digest: d[:], path: name, last: content}
	}
	signed := line{template: "ima-sig", digest: digest("/s"), path: "/s", last: sign(t, key, digest("/s"))}
	p := Empty()
	p.Keyrings.Add(".ima", hex.EncodeToString(sum(crypto.SHA256, der)))
	p.Keyrings.Add(".other", hex.EncodeToString(digest("x")))
	p.IMABuf.Add("kernel_version", hex.EncodeToString(digest("6.1")))
	p.Excludes = []string{"dm_.*"}
	ignore := p.Clone()
	ignore.IMA.IgnoredKeyrings = []string{".evm"}
	all := p.Clone()
	all.IMA.IgnoredKeyrings = []string{"*"}
	for _, c := range []struct {
		name  string
		p     *Policy
		lines []line
		want  string
	}{
		{"key allowed and learned", p, []line{buf(".ima", der), signed}, ""},
		{"signed before the key is there", p, []line{signed, buf(".ima", der)}, CheckNotInPolicy},
		{"key not in policy", p, []line{buf(".evm", der), signed}, CheckKeyNotIn + " " + CheckNotInPolicy},
		{"key with another digest", p, []line{buf(".other", der)}, CheckKeyDigest},
		{"keyring ignored, not learned", ignore, []line{buf(".evm", der), signed}, CheckNotInPolicy},
		{"all ignored", all, []line{buf(".ima", der), signed}, CheckNotInPolicy},
		{"key of a type", p, []line{buf(".ima", ed)}, CheckKeyType},
		{"buffer", p, []line{buf("kernel_version", []byte("6.1"))}, ""},
		{"buffer with another digest", p, []line{buf("kernel_version", []byte("6.2"))}, CheckBufferDigest},
		{"buffer not in policy", p, []line{buf("boot_params", nil)}, CheckBufferNotIn},
		{"buffer excluded", p, []line{buf("dm_table_load", []byte("x"))}, ""},
	} {
		v := judge(t, evaluator(t, c.p, Options{}), c.lines...)
		if checks(v) != c.want {
			t.Errorf("%s: %+v", c.name, v.Findings)
		}
	}
	// Learned keys stay in the state, and go with it.
	e, st := evaluator(t, p, Options{}), &State{}
	pcr := extend(crypto.SHA256, nil, buf(".ima", der))
	if v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(buf(".ima", der))), PCR10: pcr, Bank: "sha256"}); err != nil || !v.Accepted {
		t.Fatal(v, err)
	}
	if v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(signed)), PCR10: extend(crypto.SHA256, pcr, signed), Bank: "sha256"}); err != nil || !v.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
	st.learned = keyrings{}
	if v, err := e.Evaluate(context.Background(), st, Evidence{List: strings.NewReader(list(signed)), PCR10: extend(crypto.SHA256, st.running, signed), Bank: "sha256"}); err != nil || checks(v) != CheckNotInPolicy {
		t.Errorf("%+v, %v", v, err)
	}
}

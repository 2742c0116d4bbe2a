package tenant

import (
	"bytes"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// pgpSigner makes an OpenPGP key that was made at a time and lives for some
// seconds (0: for ever), and its armored public part.
func pgpSigner(t *testing.T, made time.Time, lifetime uint32) (*openpgp.Entity, []byte) {
	t.Helper()
	entity, err := openpgp.NewEntity("Signer", "", "signer@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: lifetime, Time: func() time.Time { return made },
	})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	block, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.Serialize(block); err != nil {
		t.Fatal(err)
	}
	if err := block.Close(); err != nil {
		t.Fatal(err)
	}
	return entity, text.Bytes()
}

func TestVerifyOpenPGP(t *testing.T) {
	t.Parallel()
	now := time.Now()
	content := []byte("a key\n")
	signer, key := pgpSigner(t, now.Add(-time.Hour), 7200)
	_, otherKey := pgpSigner(t, now.Add(-time.Hour), 0)
	config := &packet.Config{Time: func() time.Time { return now }}
	var binary, armored bytes.Buffer
	if err := openpgp.DetachSign(&binary, []*openpgp.Entity{signer}, bytes.NewReader(content), config); err != nil {
		t.Fatal(err)
	}
	if err := openpgp.ArmoredDetachSign(&armored, []*openpgp.Entity{signer}, bytes.NewReader(content), &openpgp.SignParams{Config: config}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name                    string
		content, signature, key []byte
		now                     time.Time
		good                    bool
	}{
		{"binary", content, binary.Bytes(), key, now, true},
		{"armored", content, armored.Bytes(), key, now, true},
		{"other content", []byte("another"), binary.Bytes(), key, now, false},
		{"other key", content, binary.Bytes(), otherKey, now, false},
		{"cut signature", content, binary.Bytes()[:20], key, now, false},
		{"no signature", content, nil, key, now, false},
		{"key has expired", content, binary.Bytes(), key, now.Add(3 * time.Hour), false},
		{"cut key", content, binary.Bytes(), key[:len(key)/2], now, false},
	} {
		if err := verifyDetached(test.content, test.signature, test.key, test.now); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

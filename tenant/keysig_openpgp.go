package tenant

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// verifyOpenPGP checks an OpenPGP signature, armored or binary. Weak digests
// and short RSA keys are refused by the library; a key that has expired or was
// revoked is refused here.
func verifyOpenPGP(content, signature, key []byte, now time.Time) error {
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil {
		return errors.New("the OpenPGP key cannot be read")
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	verify := openpgp.VerifyDetachedSignature
	if bytes.HasPrefix(bytes.TrimSpace(signature), []byte(pgpSigBegin)) {
		verify = openpgp.VerifyArmoredDetachedSignature
	}
	_, signer, err := verify(ring, bytes.NewReader(content), bytes.NewReader(signature), config)
	if err != nil {
		return fmt.Errorf("the OpenPGP signature is not good for this key: %w", err)
	}
	if _, err := signer.VerifyPrimaryKey(now, config); err != nil {
		return fmt.Errorf("the OpenPGP key is not valid: %w", err)
	}
	return nil
}

package source

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// checkSigned checks the detached OpenPGP signature of repository metadata, as
// `gpg --verify` would: SHA-1 signatures, RSA below 2048 bits and keys that have
// expired are refused.
func checkSigned(key, signature, content []byte) error {
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil {
		return fmt.Errorf("key of the repository: %w", err)
	}
	verify := openpgp.VerifyDetachedSignature
	if bytes.HasPrefix(bytes.TrimSpace(signature), []byte("-----BEGIN PGP SIGNATURE-----")) {
		verify = openpgp.VerifyArmoredDetachedSignature
	}
	config := &packet.Config{}
	_, signer, err := verify(ring, bytes.NewReader(content), bytes.NewReader(signature), config)
	if err != nil {
		return fmt.Errorf("invalid signature, untrusted repository: %w", err)
	}
	if signer == nil {
		return errors.New("invalid signature, untrusted repository: signer unknown")
	}
	// The library takes a signature made while a key was valid for good.
	if _, err := signer.VerifyPrimaryKey(config.Now(), config); err != nil {
		return fmt.Errorf("key of the repository: %w", err)
	}
	return nil
}

package client

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with the password of a private key.
var (
	errNoPassword    = errors.New("the key is encrypted, and there is no password")
	errWrongPassword = errors.New("the password is wrong")
)

// parseKey reads the first private key of a PEM file: PKCS#8, PKCS#1 or SEC 1,
// plain or encrypted. Encrypted means PKCS#8 with PBES2, or the traditional
// encryption of OpenSSL in the headers of PEM. A password for a plain key is
// ignored, as OpenSSL does. Errors are errNoPassword, errWrongPassword, or say
// what is wrong with the file.
func parseKey(text []byte, password string) (crypto.Signer, error) {
	var block *pem.Block
	for rest := text; ; {
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("there is no PEM private key in it")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			break
		}
	}
	der, err := decryptBlock(block, password)
	if err != nil {
		return nil, err
	}
	encrypted := block.Type == encryptedType || traditional(block)
	key, err := parseDER(block.Type, der)
	if err != nil && encrypted {
		// One wrong password in 256 leaves a padding that looks right.
		return nil, fmt.Errorf("%w: %w", errWrongPassword, err)
	}
	return key, err
}

// encryptedType is the PEM type of an encrypted PKCS#8 key (RFC 7468, 11).
const encryptedType = "ENCRYPTED PRIVATE KEY"

func decryptBlock(block *pem.Block, password string) ([]byte, error) {
	switch {
	case block.Type != encryptedType && !traditional(block):
		return block.Bytes, nil
	case password == "":
		return nil, errNoPassword
	case block.Type == encryptedType:
		return decryptPKCS8(block.Bytes, password)
	}
	//lint:ignore SA1019 weak, but what upstream's own library writes as "traditional" format; reading it gives nothing away
	der, err := x509.DecryptPEMBlock(block, []byte(password))
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, fmt.Errorf("%w: %w", errWrongPassword, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the key cannot be decrypted: %w", err)
	}
	return der, nil
}

// traditional says whether a block is encrypted in the headers of PEM (RFC 1421
// as OpenSSL does it).
func traditional(block *pem.Block) bool {
	//lint:ignore SA1019 see decryptBlock
	return x509.IsEncryptedPEMBlock(block)
}

func parseDER(pemType string, der []byte) (crypto.Signer, error) {
	var parsed any
	var err error
	switch pemType {
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(der)
	case "PRIVATE KEY", encryptedType:
		parsed, err = x509.ParsePKCS8PrivateKey(der)
	default:
		return nil, fmt.Errorf("a PEM block %s is not a key that can be used here", quoted(pemType))
	}
	if err != nil {
		return nil, fmt.Errorf("the private key in it cannot be read: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key in it cannot sign")
	}
	return key, nil
}

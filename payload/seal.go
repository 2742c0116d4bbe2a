package payload

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"io"
	"strings"
)

// ivLength and tagLength are the lengths in bytes of what surrounds the
// ciphertext of a sealed payload (PROTOCOL.md 7.1).
const (
	ivLength  = 16
	tagLength = 16
)

// Seal encrypts a payload under K: base64 of IV, AES-GCM ciphertext and tag
// (PROTOCOL.md 7.1). random nil means crypto/rand. Errors are *[Error] of kind
// BadKeyLength or NoRandomness.
func Seal(k Secret, plain []byte, random io.Reader) (sealedB64 string, err error) {
	gcm, err := newGCM(k)
	if err != nil {
		return "", err
	}
	iv, err := randomBytes(random, ivLength)
	if err != nil {
		return "", err
	}
	sealed := make([]byte, ivLength, ivLength+len(plain)+tagLength)
	copy(sealed, iv)
	return base64.StdEncoding.EncodeToString(gcm.Seal(sealed, iv, plain, nil)), nil
}

// Open decrypts what [Seal] has made and checks that it is unchanged. Blank
// space around the base64 is allowed. Errors are *[Error] of kind BadKeyLength,
// NotBase64, TooShort or NotAuthentic.
func Open(k Secret, sealedB64 string) ([]byte, error) {
	gcm, err := newGCM(k)
	if err != nil {
		return nil, err
	}
	sealed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(sealedB64))
	if err != nil {
		return nil, &Error{Kind: NotBase64, Cause: "the encrypted payload is not base64", Err: err}
	}
	if len(sealed) < ivLength+tagLength {
		return nil, &Error{Kind: TooShort, Cause: "the encrypted payload is cut short"}
	}
	iv, ciphertext := sealed[:ivLength], sealed[ivLength:]
	plain, err := gcm.Open(nil, iv, ciphertext, nil)
	if err != nil {
		return nil, &Error{Kind: NotAuthentic, Cause: "the encrypted payload was made with another key, or changed since"}
	}
	return plain, nil
}

func newGCM(k Secret) (cipher.AEAD, error) {
	if err := checkLength(k); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k.Bytes())
	if err != nil {
		return nil, &Error{Kind: BadKeyLength, Cause: "making an AES cipher", Err: err}
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, ivLength)
	if err != nil {
		return nil, &Error{Kind: BadKeyLength, Cause: "making an AES-GCM cipher", Err: err}
	}
	return gcm, nil
}

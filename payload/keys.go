package payload

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// keyLength is the length in bytes of the keys that are made here. Agents take
// 16 too (PROTOCOL.md 7.1).
const keyLength = 32

// Keys are a payload key and its two shares: K = U xor V.
type Keys struct{ K, U, V Secret }

// NewKeys makes K and V from random bytes, and U from both. random nil means
// crypto/rand. The error is an *[Error] of kind NoRandomness.
func NewKeys(random io.Reader) (Keys, error) {
	draw, err := randomBytes(random, 2*keyLength)
	if err != nil {
		return Keys{}, err
	}
	k, v := NewSecret(draw[:keyLength]), NewSecret(draw[keyLength:])
	u, err := Combine(k, v)
	if err != nil {
		return Keys{}, err
	}
	return Keys{K: k, U: u, V: v}, nil
}

// Combine joins two shares of one length, 16 or 32 bytes, to the key they are
// shares of; of the key and one share it makes the other. Other lengths are an
// *[Error] of kind BadKeyLength.
func Combine(u, v Secret) (Secret, error) {
	if err := checkLength(u); err != nil {
		return Secret{}, err
	}
	if u.Len() != v.Len() {
		return Secret{}, &Error{Kind: BadKeyLength, Cause: fmt.Sprintf("shares of %d and %d bytes do not belong together", u.Len(), v.Len())}
	}
	k := make([]byte, u.Len())
	subtle.XORBytes(k, u.Bytes(), v.Bytes())
	return NewSecret(k), nil
}

// ParseKeyFile reads a key file (PROTOCOL.md 7.2): K, and then U and V in
// either order, which does not matter, a line of base64 each. Blank space
// around lines and blank lines at the end are allowed. Anything else is an
// *[Error] of kind BadKeyFile, keys of wrong lengths one of kind BadKeyLength,
// keys that do not belong together one of kind KeysDiffer.
func ParseKeyFile(text []byte) (Keys, error) {
	const lines = 3
	found := strings.Split(strings.TrimRight(string(text), " \t\r\n"), "\n")
	if len(found) != lines {
		return Keys{}, &Error{Kind: BadKeyFile, Cause: fmt.Sprintf("%d lines instead of 3", len(found))}
	}
	var keys [lines]Secret
	for i, line := range found {
		decoded, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(line))
		if err != nil {
			// The error of base64 tells a place only, but even that is not worth it.
			return Keys{}, &Error{Kind: BadKeyFile, Cause: fmt.Sprintf("line %d is not base64", i+1)}
		}
		keys[i] = NewSecret(decoded)
		if err := checkLength(keys[i]); err != nil {
			return Keys{}, &Error{Kind: BadKeyLength, Cause: fmt.Sprintf("line %d", i+1), Err: err}
		}
	}
	k, err := Combine(keys[1], keys[2])
	if err != nil {
		return Keys{}, err
	}
	if !k.Equal(keys[0]) {
		return Keys{}, &Error{Kind: KeysDiffer, Cause: "the first key is not the sum of the two shares after it"}
	}
	return Keys{K: keys[0], U: keys[1], V: keys[2]}, nil
}

// WriteKeyFile writes keys as Keylime's tool for encrypting payloads does:
// K, V and U, a line each. Errors are those of w.
func WriteKeyFile(w io.Writer, keys Keys) error {
	var text bytes.Buffer
	for _, key := range []Secret{keys.K, keys.V, keys.U} {
		text.WriteString(base64.StdEncoding.EncodeToString(key.Bytes()))
		text.WriteByte('\n')
	}
	if _, err := w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("writing a key file: %w", err)
	}
	return nil
}

// checkLength holds a key against the lengths that agents take.
func checkLength(key Secret) error {
	if n := key.Len(); n != 16 && n != keyLength {
		return &Error{Kind: BadKeyLength, Cause: fmt.Sprintf("a key of %d bytes, not of 16 or 32", n)}
	}
	return nil
}

func randomBytes(random io.Reader, n int) ([]byte, error) {
	if random == nil {
		random = rand.Reader
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, &Error{Kind: NoRandomness, Cause: "reading random bytes", Err: err}
	}
	return b, nil
}

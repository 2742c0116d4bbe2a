package payload

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
)

// AuthTag is the tag by which an agent knows the right pair of shares: the hex
// HMAC-SHA384 over its id under K, 96 characters (PROTOCOL.md 7.1).
func AuthTag(k Secret, agentID string) string { return mac(k, agentID) }

// Challenge is the answer to a challenge of somebody who holds K: the hex
// HMAC-SHA384 over the challenge, 96 characters (PROTOCOL.md 7.1). Compare it
// with [EqualTag].
func Challenge(k Secret, challenge string) string { return mac(k, challenge) }

// EqualTag compares two tags in hex, upper or lower case, in a time that
// depends on their lengths only.
func EqualTag(a, b string) bool {
	x, errX := hex.DecodeString(a)
	y, errY := hex.DecodeString(b)
	return errX == nil && errY == nil && len(x) > 0 && hmac.Equal(x, y)
}

func mac(k Secret, text string) string {
	h := hmac.New(sha512.New384, k.Bytes())
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// challengeLength is the length of nonces and challenges in characters
// (PROTOCOL.md 5.4).
const challengeLength = 20

// NewChallenge makes a challenge or nonce: 20 characters from A-Z, a-z and 0-9,
// each equally likely. random nil means crypto/rand. The error is an *[Error]
// of kind NoRandomness.
func NewChallenge(random io.Reader) (string, error) {
	const (
		alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		// Bytes from fair on would favour the first letters.
		fair = 256 / len(alphabet) * len(alphabet)
		// A reader that goes on giving such bytes is broken.
		mostRounds = 64
	)
	text := make([]byte, 0, challengeLength)
	for range mostRounds {
		draw, err := randomBytes(random, challengeLength)
		if err != nil {
			return "", err
		}
		for _, b := range draw {
			if int(b) < fair && len(text) < challengeLength {
				text = append(text, alphabet[int(b)%len(alphabet)])
			}
		}
		if len(text) == challengeLength {
			return string(text), nil
		}
	}
	return "", &Error{Kind: NoRandomness, Cause: "making a challenge", Err: errors.New("the source of random bytes repeats itself")}
}

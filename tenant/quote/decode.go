package quote

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// partLimit is the most that one part of a quote may have, in bytes. The
// largest PCR blob has 136 + 48 × 532 = 25672.
const partLimit = 64 << 10

// parts are the decoded parts of a quote string.
type parts struct{ attest, signature, blob []byte }

// decode splits a quote string and decodes its parts. What follows the third
// part is ignored, as the protocol says (PROTOCOL.md 5.2).
func decode(quote string, compressed bool) (parts, *VerificationError) {
	if !strings.HasPrefix(quote, "r") {
		found := "nothing"
		if quote != "" {
			found = shown(quote[:1])
		}
		return parts{}, &VerificationError{Check: CheckFormat, Expected: "the letter r of a TPM 2.0 quote first", Found: found}
	}
	fields := strings.SplitN(quote[1:], ":", 4)
	if len(fields) < 3 {
		return parts{}, &VerificationError{Check: CheckFormat, Expected: "attestation, signature and PCR values between colons",
			Found: fmt.Sprintf("%d of the 3", len(fields))}
	}
	var decoded [3][]byte
	for i, name := range [3]string{"attestation", "signature", "PCR blob"} {
		part, err := decodePart(fields[i], compressed)
		if err != nil {
			return parts{}, &VerificationError{Check: CheckEncoding, Err: fmt.Errorf("%s: %w", name, err)}
		}
		decoded[i] = part
	}
	return parts{attest: decoded[0], signature: decoded[1], blob: decoded[2]}, nil
}

func decodePart(text string, compressed bool) ([]byte, error) {
	if len(text) > base64.StdEncoding.EncodedLen(partLimit) {
		return nil, fmt.Errorf("%d characters are more than the limit", len(text))
	}
	if strings.ContainsAny(text, "\r\n") { // which the decoder would skip
		return nil, fmt.Errorf("a line break at character %d", strings.IndexAny(text, "\r\n"))
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || !compressed {
		return data, err
	}
	return inflate(data)
}

// inflate opens the zlib form of API 1.0, up to partLimit bytes.
func inflate(data []byte) ([]byte, error) {
	source := bytes.NewReader(data)
	z, err := zlib.NewReader(source)
	if err != nil {
		return nil, err
	}
	defer z.Close() // reads from memory: nothing to lose
	plain, err := io.ReadAll(io.LimitReader(z, partLimit+1))
	switch {
	case err != nil:
		return nil, err
	case len(plain) > partLimit:
		return nil, fmt.Errorf("more than %d bytes after decompression", partLimit)
	case source.Len() != 0:
		return nil, fmt.Errorf("%d bytes follow the compressed data", source.Len())
	}
	return plain, nil
}

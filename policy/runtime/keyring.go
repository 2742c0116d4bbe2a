package runtime

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// Keyring holds the keys that sign files, by their key id. Its Add takes
// certificates, public keys and unencrypted private keys; its String is the
// JSON form that policies and requests carry (PROTOCOL.md 10.4).
type Keyring = ima.Keyring

// ParseKeyring reads the JSON form: {"pubkeys": [base64], "keyids": [number]},
// also put into a JSON string once more, as old databases hold it. "" is an
// empty keyring.
//
// Errors: *[SyntaxError], *[SchemaError], and *ima.KeyError for a key that is no
// RSA or EC key. (A verifier skips such a key with a line in its log; then the
// files that it signs are refused without a word that says why.)
func ParseKeyring(text string) (*Keyring, error) {
	k, problems, err := parseKeyring(text)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, problems[0]
	}
	return k, nil
}

// parseKeyring is [ParseKeyring] that skips keys as a verifier does.
func parseKeyring(text string) (k *Keyring, problems []error, err error) {
	k = &Keyring{}
	if text == "" {
		return k, nil, nil
	}
	v, err := parseJSON([]byte(text))
	if err == nil && v.kind == kindString {
		v, err = parseJSON([]byte(v.text))
	}
	if err != nil {
		return nil, nil, err
	}
	if e := checkKeyring(&v); e != nil {
		return nil, nil, e
	}
	ids := v.get("keyids").kids
	for i, key := range v.get("pubkeys").kids {
		id := uint32(0)
		if i < len(ids) {
			n, err := strconv.ParseUint(ids[i].val.text, 10, 32)
			if err != nil {
				problems = append(problems, &ima.KeyError{Name: fmt.Sprintf("key %d", i+1), Reason: "has a key id that is no number of 32 bits"})
				continue
			}
			id = uint32(n)
		}
		if err := addEncoded(k, key.val.text, id); err != nil {
			problems = append(problems, fmt.Errorf("key %d: %w", i+1, err))
		}
	}
	return k, problems, nil
}

// addEncoded adds a key in base64 of its SubjectPublicKeyInfo.
func addEncoded(k *Keyring, text string, id uint32) error {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return &ima.KeyError{Reason: "is not base64"}
	}
	key, err := ima.ParsePublicKey(der)
	if err != nil {
		return err
	}
	return k.AddKey(key, id)
}

// KeyringFromFiles reads key files: certificates, public keys and unencrypted
// private keys, DER or PEM, RSA or EC. Errors: *fs.PathError, *ima.KeyError
// naming the file.
func KeyringFromFiles(paths ...string) (*Keyring, error) {
	k := &Keyring{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a signature verification key: %w", err)
		}
		if err := k.Add(path, data); err != nil {
			return nil, err
		}
	}
	return k, nil
}

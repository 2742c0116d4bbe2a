package ima

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // key ids are defined by it
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
)

// Keyring holds public keys by their key id (version 2: four bytes), in the
// order in which they were added. The zero value is empty and ready; a nil
// *Keyring is empty.
type Keyring struct {
	ids  []uint32
	keys map[uint32]crypto.PublicKey
}

// Len is the number of keys.
func (k *Keyring) Len() int {
	if k == nil {
		return 0
	}
	return len(k.ids)
}

// IDs are the key ids, in order.
func (k *Keyring) IDs() []uint32 {
	if k == nil {
		return nil
	}
	return slices.Clone(k.ids)
}

// Key returns the key of an id: *rsa.PublicKey, *ecdsa.PublicKey or nil.
func (k *Keyring) Key(id uint32) crypto.PublicKey {
	if k == nil {
		return nil
	}
	return k.keys[id]
}

// AddKey adds an RSA or EC key under an id, 0 for the one computed from the
// key; a key of the same id is replaced. Error: *[KeyError].
func (k *Keyring) AddKey(key crypto.PublicKey, id uint32) error {
	if id == 0 {
		var err error
		if id, err = KeyID(key); err != nil {
			return err
		}
	} else if _, err := KeyID(key); err != nil {
		return err
	}
	if k.keys == nil {
		k.keys = map[uint32]crypto.PublicKey{}
	}
	if _, there := k.keys[id]; !there {
		k.ids = append(k.ids, id)
	}
	k.keys[id] = key
	return nil
}

// Add adds the key in data, which is a certificate, a public key or an
// unencrypted private key, DER or PEM, RSA or EC. name is for messages. Error:
// *[KeyError].
func (k *Keyring) Add(name string, data []byte) error {
	key, id, err := ParseKey(data)
	switch {
	case err != nil || key != nil:
	case onP192(data):
		err = &KeyError{Reason: "is an EC key on the curve P-192, which is not supported: P-224, P-256, P-384 and P-521 are"}
	default:
		err = &KeyError{Reason: "holds neither a certificate nor a key"}
	}
	if err == nil {
		err = k.AddKey(key, id)
	}
	if e, ok := err.(*KeyError); ok {
		e.Name = name
	}
	return err
}

// onP192 says whether data that holds no key names the curve P-192, which Keylime
// takes and no library of ours has.
func onP192(data []byte) bool {
	oid := []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x01") // 1.2.840.10045.3.1.1
	for _, kind := range []string{certificateBlock, publicBlock, privateBlock} {
		for _, der := range append(blocks(data, kind), data) {
			if bytes.Contains(der, oid) {
				return true
			}
		}
	}
	return false
}

// Merge adds all keys of another keyring.
func (k *Keyring) Merge(other *Keyring) {
	for _, id := range other.IDs() {
		_ = k.AddKey(other.keys[id], id) // it was taken once
	}
}

// Clone returns a copy.
func (k *Keyring) Clone() *Keyring {
	c := &Keyring{}
	c.Merge(k)
	return c
}

// String returns the JSON form of PROTOCOL.md 10.4, as upstream writes it:
// {"pubkeys": ["base64 of SubjectPublicKeyInfo"], "keyids": [number]}.
func (k *Keyring) String() string {
	keys, ids := "", ""
	for i, id := range k.IDs() {
		der, err := x509.MarshalPKIXPublicKey(k.keys[id])
		if err != nil {
			continue // no such key gets into a keyring
		}
		if i > 0 {
			keys, ids = keys+", ", ids+", "
		}
		keys += `"` + base64.StdEncoding.EncodeToString(der) + `"`
		ids += strconv.FormatUint(uint64(id), 10)
	}
	return `{"pubkeys": [` + keys + `], "keyids": [` + ids + `]}`
}

// KeyID computes the id of a key: the last four bytes, big endian, of the SHA-1
// of the PKCS #1 form (RSA) or of the uncompressed point (EC). Error:
// *[KeyError].
func KeyID(key crypto.PublicKey) (uint32, error) {
	var data []byte
	switch k := key.(type) {
	case *rsa.PublicKey:
		data = x509.MarshalPKCS1PublicKey(k)
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return 0, &KeyError{Reason: "has an elliptic curve that is not supported"}
		}
		data = point
	default:
		return 0, &KeyError{Reason: fmt.Sprintf("is of a type that IMA signatures have not: %T", key)}
	}
	sum := sha1.Sum(data) //nolint:gosec // as above
	return binary.BigEndian.Uint32(sum[len(sum)-4:]), nil
}

// KeyType names a key for people: "RSA 2048", "EC P-256".
func KeyType(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + k.Params().Name
	default:
		return fmt.Sprintf("%T", key)
	}
}

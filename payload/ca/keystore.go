package ca

import (
	"crypto/pbkdf2"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/keylime/keylime-tenant/payload"
)

// The keys of the decrypted store that are not names of certificates.
const (
	storeCA      = "ca"
	storeSerial  = "lastserial"
	storeRevoked = "revoked_keys"
)

const (
	kdfRounds  = 100_000
	kdfKeySize = 32 // bytes
	saltSize   = 32 // bytes, before base64
	storeLimit = 64 << 20
)

// keyStore is the decrypted private.yml (PROTOCOL.md 8.2).
type keyStore struct {
	salt       string
	keys       map[string][]byte // PEM by name; "ca" is the authority's
	lastSerial int64
	revoked    []string // decimal serial numbers
}

func newKeyStore(random io.Reader, key *rsa.PrivateKey) (keyStore, error) {
	raw := make([]byte, saltSize)
	if _, err := io.ReadFull(random, raw); err != nil {
		return keyStore{}, fmt.Errorf("making a salt: %w", err)
	}
	text, err := keyPEM(key)
	if err != nil {
		return keyStore{}, err
	}
	return keyStore{salt: base64.StdEncoding.EncodeToString(raw), keys: map[string][]byte{storeCA: text}, lastSerial: 1}, nil
}

// kdf derives the key of the store. The salt is the text in the file, not what
// it would decode to.
func kdf(password payload.Secret, salt string) (payload.Secret, error) {
	key, err := pbkdf2.Key(sha256.New, string(password.Bytes()), []byte(salt), kdfRounds, kdfKeySize)
	if err != nil {
		return payload.Secret{}, fmt.Errorf("deriving the key of the store: %w", err)
	}
	return payload.NewSecret(key), nil
}

// outer is the file as it lies on the disk.
type outer struct {
	Priv string `yaml:"priv"`
	Salt string `yaml:"salt"`
}

// openKeyStore decrypts a private.yml.
func openKeyStore(text []byte, password payload.Secret) (keyStore, error) {
	if len(text) > storeLimit {
		return keyStore{}, fmt.Errorf("%w: larger than %d bytes", ErrKeyStore, storeLimit)
	}
	var file outer
	if err := yaml.Unmarshal(text, &file); err != nil {
		return keyStore{}, fmt.Errorf("%w: %w", ErrKeyStore, err)
	}
	if file.Priv == "" || file.Salt == "" {
		return keyStore{}, fmt.Errorf("%w: priv or salt is missing", ErrKeyStore)
	}
	key, err := kdf(password, file.Salt)
	if err != nil {
		return keyStore{}, err
	}
	plain, err := payload.Open(key, file.Priv)
	if err != nil {
		// A damaged file and a wrong password cannot be told apart.
		return keyStore{}, ErrPassword
	}
	var content map[string]yaml.Node
	if err := yaml.Unmarshal(plain, &content); err != nil {
		// Without the parser's words: they may repeat a key.
		return keyStore{}, fmt.Errorf("%w: its content is not YAML", ErrKeyStore)
	}
	return readContent(content, file.Salt)
}

func readContent(content map[string]yaml.Node, salt string) (keyStore, error) {
	s := keyStore{salt: salt, keys: map[string][]byte{}}
	for name, node := range content {
		var err error
		switch name {
		case storeSerial:
			err = node.Decode(&s.lastSerial)
		case storeRevoked:
			err = node.Decode(&s.revoked)
		default:
			var pem string
			if err = node.Decode(&pem); err == nil {
				s.keys[name] = []byte(pem)
			}
		}
		if err != nil {
			return keyStore{}, fmt.Errorf("%w: entry %q has the wrong type", ErrKeyStore, name)
		}
	}
	for _, serial := range s.revoked {
		if _, ok := parseSerial(serial); !ok {
			return keyStore{}, fmt.Errorf("%w: %q is no serial number", ErrKeyStore, serial)
		}
	}
	if s.lastSerial < 0 {
		return keyStore{}, fmt.Errorf("%w: negative serial number", ErrKeyStore)
	}
	return s, nil
}

// seal is the file that holds the store, in the form that PyYAML writes.
func (s *keyStore) seal(password payload.Secret, random io.Reader) ([]byte, error) {
	key, err := kdf(password, s.salt)
	if err != nil {
		return nil, err
	}
	sealed, err := payload.Seal(key, s.content(), random)
	if err != nil {
		return nil, fmt.Errorf("encrypting the key store: %w", err)
	}
	var b strings.Builder
	b.WriteString("priv: !!binary |\n")
	// The text is base64 already and, as YAML's binary, becomes so again.
	writeBinary(&b, []byte(sealed))
	fmt.Fprintf(&b, "salt: %s\n", s.salt)
	return []byte(b.String()), nil
}

// content is the store before encryption: block style, keys sorted.
func (s *keyStore) content() []byte {
	var b strings.Builder
	names := append(slices.Collect(maps.Keys(s.keys)), storeSerial, storeRevoked)
	slices.Sort(names)
	for _, name := range names {
		switch name {
		case storeSerial:
			fmt.Fprintf(&b, "%s: %d\n", storeSerial, s.lastSerial)
		case storeRevoked:
			if len(s.revoked) == 0 {
				fmt.Fprintf(&b, "%s: []\n", storeRevoked)
				continue
			}
			fmt.Fprintf(&b, "%s:\n", storeRevoked)
			for _, serial := range s.revoked {
				fmt.Fprintf(&b, "- '%s'\n", serial)
			}
		default:
			fmt.Fprintf(&b, "%s: !!binary |\n", yamlKey(name))
			writeBinary(&b, s.keys[name])
		}
	}
	return []byte(b.String())
}

// writeBinary writes bytes as an indented block of base64, 76 columns a line.
func writeBinary(b *strings.Builder, content []byte) {
	text := base64.StdEncoding.EncodeToString(content)
	for len(text) > 76 {
		b.WriteString("  " + text[:76] + "\n")
		text = text[76:]
	}
	b.WriteString("  " + text + "\n")
}

// yamlKey is a name as a YAML key: quoted, unless it cannot be read as
// anything but a string.
func yamlKey(name string) string {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_' {
			return strconv.Quote(name)
		}
	}
	switch strings.ToLower(name) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return strconv.Quote(name)
	}
	if strings.Trim(name, "-") == "" {
		return strconv.Quote(name)
	}
	return name
}

// errNotRSA is the refusal of a key that is neither PKCS#8 nor PKCS#1.
var errNotRSA = errors.New("neither a PKCS#8 nor a PKCS#1 RSA private key in PEM, without a password")

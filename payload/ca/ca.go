// Package ca keeps the certificate authority of a Keylime operator in a
// directory: the CA certificate and its revocation list, the certificates and
// keys made with it, and the encrypted store that holds every private key.
//
// The directory is the Python tool's (PROTOCOL.md 8): each reads what the other
// wrote, also the key store private.yml. What is done otherwise here: files
// that hold keys have mode 0600; a file is replaced as a whole and never left
// half written or with a stale tail; revocation lists are valid for some time
// instead of expiring as they are made; leaf certificates name what they are
// for (key usages) and carry proper subject alternative names.
//
// The package trusts who can write to the directory. It does not ask for
// passwords and prints nothing.
package ca

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/payload"
)

// The names of the files of a CA directory (PROTOCOL.md 8.1).
const (
	FileCACert   = "cacert.crt"
	FileCAPublic = "ca-public.pem"
	FileCRLDER   = "cacrl.der"
	FileCRLPEM   = "cacrl.pem"
	FileKeyStore = "private.yml"
)

// RevocationName is the name of the certificate that signs revocation notices.
const RevocationName = "RevocationNotifier"

// Kinds of failure that a caller may ask for with errors.Is.
var (
	// ErrPassword: the password does not open the key store.
	ErrPassword = errors.New("invalid password for keystore")
	// ErrNoPassword: the password is empty.
	ErrNoPassword = errors.New("you must specify a password")
	// ErrNoCA: the directory holds no certificate authority.
	ErrNoCA = errors.New("no certificate authority here")
	// ErrName: a name cannot be that of a certificate file.
	ErrName = errors.New("not a name for a certificate")
	// ErrNotFound: the CA has no certificate or key of that name.
	ErrNotFound = errors.New("no such certificate")
	// ErrExists: there is an authority, or files that a new one would replace.
	ErrExists = errors.New("the directory holds keys or certificates already")
	// ErrKeyStore: the key store is not in the expected form.
	ErrKeyStore = errors.New("unreadable key store")
)

// Error is a failure with a file or a name of the directory.
type Error struct {
	// Object is the path or the name concerned.
	Object string
	Err    error
}

func (e *Error) Error() string { return e.Object + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Options say what new certificates look like ([ca] of ca.conf, TENANT-CLI.md
// B.2). The zero value of each field takes the default of the configuration
// that Keylime 7.14.3 ships.
type Options struct {
	// Country, State, Locality, Organization and Unit are parts of every name.
	Country, State, Locality, Organization, Unit string
	// Name is the common name of the CA itself.
	Name string
	// Bits is the size of RSA keys, in bits.
	Bits int
	// CALifetime and Lifetime are the validity of the CA and of the
	// certificates it makes, in days.
	CALifetime, Lifetime int
	// CRLURL is where certificates say that the revocation list is.
	CRLURL string
	// CRLDays is how long a revocation list holds, in days.
	CRLDays int
	// Now is the clock, Rand the source of keys; nil means the real ones.
	Now  func() time.Time
	Rand io.Reader
}

func (o Options) withDefaults() Options {
	text := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	number := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	text(&o.Country, "US")
	text(&o.State, "MA")
	text(&o.Locality, "Lexington")
	text(&o.Organization, "Keylime")
	text(&o.Unit, "53")
	text(&o.Name, "Keylime Certificate Authority")
	text(&o.CRLURL, "http://localhost:38080/crl")
	number(&o.Bits, 2048)
	number(&o.CALifetime, 3650)
	number(&o.Lifetime, 365)
	number(&o.CRLDays, 7)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return o
}

// CA is an opened certificate authority. It is not safe for concurrent use;
// two processes that change one directory wait for each other.
type CA struct {
	dir      string
	options  Options
	password payload.Secret
	store    keyStore
	key      *rsa.PrivateKey
	cert     *x509.Certificate
}

// Exists says whether dir holds a certificate authority.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, FileCACert))
	return err == nil
}

// Init makes a new certificate authority in dir, which is created with mode
// 0700 if it is absent. As in the Python tool, what an earlier authority left
// there (*.pem, *.crt, *.zip, *.der, private.yml) is removed; here that happens
// only once the new authority has been made.
//
// Errors: [ErrNoPassword], or the failure of a file.
func Init(dir string, password payload.Secret, options Options) (*CA, error) {
	return initialize(dir, password, options, clear)
}

// InitNew is [Init] that removes nothing: where there are [Leftovers], be it
// since a moment only because another process was faster, it fails with
// [ErrExists].
func InitNew(dir string, password payload.Secret, options Options) (*CA, error) {
	return initialize(dir, password, options, func(dir string) error {
		left, err := Leftovers(dir)
		if err == nil && len(left) > 0 {
			err = &Error{Object: dir, Err: ErrExists}
		}
		return err
	})
}

// initialize makes an authority; ready is asked once nobody else changes dir.
func initialize(dir string, password payload.Secret, options Options, ready func(dir string) error) (*CA, error) {
	if password.Len() == 0 {
		return nil, ErrNoPassword
	}
	c := &CA{dir: dir, options: options.withDefaults(), password: password}
	var err error
	if c.key, err = rsa.GenerateKey(c.options.Rand, c.options.Bits); err != nil {
		return nil, fmt.Errorf("making the key of the CA: %w", err)
	}
	if c.cert, err = c.selfSigned(); err != nil {
		return nil, err
	}
	if c.store, err = newKeyStore(c.options.Rand, c.key); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the CA directory: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := ready(dir); err != nil {
		return nil, err
	}
	if err := c.writeStore(); err != nil {
		return nil, err
	}
	public, err := publicPEM(&c.key.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := c.write(FileCAPublic, public, 0o644); err != nil {
		return nil, err
	}
	if err := c.writeCRL(); err != nil {
		return nil, err
	}
	// Last, since its presence says that the authority is complete.
	return c, c.write(FileCACert, certPEM(c.cert.Raw), 0o644)
}

// Leftovers are the names of the files in dir that [Init] removes: an earlier
// authority's, or somebody else's keys and certificates. A directory that is
// absent has none.
func Leftovers(dir string) ([]string, error) {
	var names []string
	for _, pattern := range []string{"*.crt", "*.pem", "*.zip", "*.der", FileKeyStore} {
		found, err := filepath.Glob(filepath.Join(escapeGlob(dir), pattern))
		if err != nil {
			return nil, &Error{Object: dir, Err: err}
		}
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
	}
	return names, nil
}

// clear removes the files of an earlier authority.
func clear(dir string) error {
	old, err := Leftovers(dir)
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("removing the old CA: %w", err)
		}
	}
	return nil
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// Open opens the certificate authority in dir.
//
// Errors: [ErrNoCA], [ErrNoPassword], [ErrPassword], [ErrKeyStore], or the
// failure of a file, each inside an *[Error] that names the path.
func Open(dir string, password payload.Secret, options Options) (*CA, error) {
	if !Exists(dir) {
		return nil, &Error{Object: dir, Err: ErrNoCA}
	}
	if password.Len() == 0 {
		return nil, ErrNoPassword
	}
	c := &CA{dir: dir, options: options.withDefaults(), password: password}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// load reads certificate and key store, as they are now.
func (c *CA) load() error {
	cert, err := c.readCert(FileCACert)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.path(FileKeyStore))
	if err != nil {
		return fmt.Errorf("reading the key store: %w", err)
	}
	store, err := openKeyStore(text, c.password)
	if err != nil {
		return &Error{Object: c.path(FileKeyStore), Err: err}
	}
	key, err := parseKey(store.keys[storeCA])
	if err != nil {
		return &Error{Object: c.path(FileKeyStore), Err: fmt.Errorf("%w: the CA's key: %w", ErrKeyStore, err)}
	}
	if public, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !public.Equal(&key.PublicKey) {
		return &Error{Object: c.path(FileCACert), Err: errors.New("the key in the key store is another one's")}
	}
	c.cert, c.store, c.key = cert, store, key
	return nil
}

// change runs f on the present state of the directory while no other process
// may change it.
func (c *CA) change(f func() error) error {
	unlock, err := lock(c.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.load(); err != nil {
		return err
	}
	return f()
}

// Dir is the directory of the authority.
func (c *CA) Dir() string { return c.dir }

// CertPEM is the certificate of the authority.
func (c *CA) CertPEM() []byte { return certPEM(c.cert.Raw) }

func (c *CA) path(name string) string { return filepath.Join(c.dir, name) }

// checkName says whether a certificate can have this name, which becomes part
// of file names.
func checkName(name string) error {
	switch {
	case name == "", strings.Trim(name, ".") == "", name == storeCA, name == storeSerial, name == storeRevoked,
		strings.ContainsAny(name, `/\`+"\x00"), filepath.Base(name) != name:
		return &Error{Object: fmt.Sprintf("%q", name), Err: ErrName}
	}
	return nil
}

// ImportKey makes the key in pemText the authority's own, and lastSerial the
// last serial number used (PROTOCOL.md 8.4, import-priv). The certificate
// cacert.crt of that key must be in the directory already.
func ImportKey(dir string, password payload.Secret, pemText []byte, lastSerial int64, options Options) error {
	if password.Len() == 0 {
		return ErrNoPassword
	}
	if lastSerial < 0 {
		return &Error{Object: fmt.Sprint(lastSerial), Err: errors.New("a serial number cannot be negative")}
	}
	key, err := parseKey(pemText)
	if err != nil {
		return &Error{Object: "private key", Err: err}
	}
	c := &CA{dir: dir, options: options.withDefaults(), password: password}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := os.ReadFile(c.path(FileKeyStore))
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.store, err = newKeyStore(c.options.Rand, key)
	case err == nil:
		c.store, err = openKeyStore(text, password)
	}
	if err != nil {
		return &Error{Object: c.path(FileKeyStore), Err: err}
	}
	if c.store.keys[storeCA], err = keyPEM(key); err != nil {
		return err
	}
	c.store.lastSerial = lastSerial + 1
	return c.writeStore()
}

package ca

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// File is a file to be put into a package.
type File struct {
	Name    string
	Content []byte
}

// Package is a certificate package for an agent (PROTOCOL.md 7.3).
type Package struct {
	// Zip holds keys in clear: it must only leave this machine encrypted.
	Zip []byte
	// Serial and Subject tell of the agent's certificate; Subject is in the
	// form of RFC 4514.
	Serial, Subject string
	// RevocationKeyPEM is the key that signs revocation notices.
	RevocationKeyPEM []byte
	// Created lists the names for which certificates were made now.
	Created []string
}

// AgentPackage makes what an agent needs to serve and to believe revocation
// notices: its key and certificate, the CA's certificate and revocation list,
// the revocation notifier's certificate, and the files to include. Certificates
// that are missing are made. A copy of the package, with the keys as their
// files have them, is written to name-pkg.zip (0600).
//
// Errors: [ErrName], or the failure of a file.
func (c *CA) AgentPackage(name string, include []File) (Package, error) {
	if err := checkName(name); err != nil {
		return Package{}, err
	}
	var pkg Package
	for _, who := range []string{name, RevocationName} {
		if _, err := os.Stat(c.path(who + "-private.pem")); err == nil {
			continue
		}
		if _, err := c.Create(who, CreateOptions{}); err != nil {
			return Package{}, err
		}
		pkg.Created = append(pkg.Created, who)
	}
	files, one, err := c.packageFiles(name)
	if err != nil {
		return Package{}, err
	}
	pkg.Serial, pkg.Subject = one.Serial, one.Subject
	if err := c.writePackage(name, files, false); err != nil {
		return Package{}, err
	}
	notifier, err := os.ReadFile(c.path(RevocationName + "-cert.crt"))
	if err != nil {
		return Package{}, fmt.Errorf("reading a certificate: %w", err)
	}
	key, err := c.storedKey(RevocationName)
	if err != nil {
		return Package{}, err
	}
	pkg.RevocationKeyPEM = key
	files = append(files, File{RevocationName + "-cert.crt", notifier})
	pkg.Zip, err = Zip(append(files, include...), c.options.Now())
	return pkg, err
}

// Pack writes name-pkg.zip (0600) with key, certificate, CA certificate and
// revocation list of a name. insecure puts the key in clear into it where its
// own file has a password.
//
// Errors: [ErrName], [ErrNotFound], or the failure of a file.
func (c *CA) Pack(name string, insecure bool) (Certificate, error) {
	if err := checkName(name); err != nil {
		return Certificate{}, err
	}
	files, one, err := c.packageFiles(name)
	if err != nil {
		return Certificate{}, err
	}
	return one, c.writePackage(name, files, insecure)
}

// packageFiles are the first six files of a package, in upstream's order, with
// the key as the store has it.
func (c *CA) packageFiles(name string) ([]File, Certificate, error) {
	one, err := c.describe(name)
	if err != nil {
		return nil, Certificate{}, err
	}
	key, err := c.storedKey(name)
	if err != nil {
		return nil, Certificate{}, err
	}
	var files []File
	for _, file := range []string{name + "-public.pem", name + "-cert.crt", "", FileCACert, FileCRLDER, FileCRLPEM} {
		if file == "" {
			files = append(files, File{name + "-private.pem", key})
			continue
		}
		content, err := os.ReadFile(c.path(file))
		if err != nil {
			return nil, Certificate{}, fmt.Errorf("reading a file of the package: %w", err)
		}
		files = append(files, File{file, content})
	}
	return files, one, nil
}

func (c *CA) storedKey(name string) ([]byte, error) {
	key, ok := c.store.keys[name]
	if !ok {
		return nil, &Error{Object: name, Err: fmt.Errorf("%w: the key store has no key of that name", ErrNotFound)}
	}
	return key, nil
}

func (c *CA) writePackage(name string, files []File, insecure bool) error {
	copies := append([]File(nil), files...)
	if !insecure {
		private, err := os.ReadFile(c.path(name + "-private.pem"))
		if err != nil {
			return fmt.Errorf("reading a file of the package: %w", err)
		}
		copies[2].Content = private
	}
	archive, err := Zip(copies, c.options.Now())
	if err != nil {
		return err
	}
	return c.write(name+"-pkg.zip", archive, 0o600)
}

// Zip packs files without compression, which agents unpack into small
// temporary file systems. Names are used as given.
func Zip(files []File, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for _, file := range files {
		w, err := archive.CreateHeader(&zip.FileHeader{Name: file.Name, Method: zip.Store, Modified: now})
		if err != nil {
			return nil, fmt.Errorf("packing %s: %w", file.Name, err)
		}
		if _, err := w.Write(file.Content); err != nil {
			return nil, fmt.Errorf("packing %s: %w", file.Name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("packing: %w", err)
	}
	return b.Bytes(), nil
}

// Include reads every regular file directly inside dir, by name. Nested names
// what lies deeper, or is no regular file, and is therefore not included.
func Include(dir string) (files []File, nested []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the files to include: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the files to include: %w", err)
		}
		if !info.Mode().IsRegular() {
			nested = append(nested, entry.Name())
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the files to include: %w", err)
		}
		files = append(files, File{entry.Name(), content})
	}
	return files, nested, nil
}

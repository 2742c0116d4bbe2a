package ek

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fileLimit is the most that a file of the store may have, in bytes.
const fileLimit = 16 << 20

// Skipped is a file of a store of which something was not used, and why.
type Skipped struct {
	Path string
	Err  error
}

// Store is a directory of certificates that are trusted to vouch for EKs:
// roots and intermediates alike. It is safe for concurrent use.
type Store struct {
	dir     string
	bySub   map[string][]anchor
	count   int
	files   []string // that hold at least one of them
	skipped []Skipped
}

// anchor is a certificate of the store.
type anchor struct {
	*Certificate
	path string
}

// LoadStore reads the certificates of all *.pem files of a directory, not of
// directories below it (PROTOCOL.md 9): all certificates of each file, other
// PEM blocks and text between them ignored. A file that cannot be used, wholly
// or in part, is skipped and told by [Store.Skipped]; so are files that look
// like certificates but are not named *.pem, which Keylime does not read. It
// fails, with a *[VerificationError] of [CheckStore], only if the directory
// cannot be listed.
func LoadStore(dir string) (*Store, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &VerificationError{Check: CheckStore, StoreDir: dir, Err: err}
	}
	s := &Store{dir: dir, bySub: map[string][]anchor{}}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch strings.ToLower(filepath.Ext(entry.Name())) {
		case ".pem":
			if filepath.Ext(entry.Name()) != ".pem" {
				s.skip(path, errors.New("only files named *.pem in small letters are read"))
				continue
			}
			s.load(path)
		case ".crt", ".cer", ".der":
			s.skip(path, fmt.Errorf("only *.pem files are read; convert it: openssl x509 -in %s -out %s.pem",
				entry.Name(), strings.TrimSuffix(entry.Name(), filepath.Ext(entry.Name()))))
		}
	}
	return s, nil
}

func (s *Store) skip(path string, err error) {
	s.skipped = append(s.skipped, Skipped{Path: path, Err: err})
}

// load reads one file.
func (s *Store) load(path string) {
	text, err := readFile(path)
	if err != nil {
		s.skip(path, err)
		return
	}
	begun := bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----"))
	found, before := 0, s.count
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		found++
		c, err := ParseCertificate(block.Bytes)
		if err != nil {
			s.skip(path, fmt.Errorf("certificate %d of the file: %w", found, err))
			continue
		}
		s.bySub[c.subject.canonical] = append(s.bySub[c.subject.canonical], anchor{c, path})
		s.count++
	}
	if s.count > before {
		s.files = append(s.files, path)
	}
	switch {
	case len(text) == 0:
		s.skip(path, errors.New("it is empty"))
	case found < begun:
		s.skip(path, fmt.Errorf("%d of its %d certificates are not whole PEM blocks", begun-found, begun))
	case found == 0:
		s.skip(path, errors.New("it holds no PEM block of type CERTIFICATE"))
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err == nil && len(text) > fileLimit {
		return nil, fmt.Errorf("it is larger than %d bytes", fileLimit)
	}
	return text, err
}

// Skipped are the files of which something was not used, by path.
func (s *Store) Skipped() []Skipped { return slices.Clone(s.skipped) }

// Len is the number of certificates in the store.
func (s *Store) Len() int { return s.count }

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

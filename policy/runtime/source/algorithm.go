package source

import (
	"crypto/sha1" //nolint:gosec // IMA's old hash
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"slices"
)

// Algorithms are the hashes that trees and RAM disks can be hashed with, by
// Keylime's names.
func Algorithms() []string { return []string{"sha1", "sha256", "sha384", "sha512", "sm3_256"} }

const defaultAlgorithm = "sha256"

// newHash returns a hash by name, nil for a name that is none.
func newHash(name string) hash.Hash {
	switch name {
	case "sha1":
		return sha1.New() //nolint:gosec // as above
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	case "sm3_256":
		return newSM3()
	default:
		return nil
	}
}

// fit is one source's idea of the algorithm.
type fit struct {
	source string
	// names are the algorithms that it may mean: digests of 64 digits are SHA-256
	// or SM3. None: it says nothing.
	names []string
	// invalid says that it means none that is known.
	invalid bool
}

// byLength are the algorithms of a digest in hex.
func byLength(digest string) (names []string, known bool) {
	for _, name := range Algorithms() {
		if 2*newHash(name).Size() == len(digest) {
			names = append(names, name)
		}
	}
	return names, names != nil
}

// chooseAlgorithm takes the algorithm that all sources agree on, in upstream's
// order: option, base policy, allowlist, list. Unlike upstream's, digests of 64
// digits agree with SHA-256 and with SM3, and a source without digests says
// nothing. Error: *[AlgorithmError].
func chooseAlgorithm(sources []fit) (string, error) {
	var agreed []string
	for _, s := range sources {
		switch {
		case s.invalid:
			return "", &AlgorithmError{Source: s.source}
		case len(s.names) == 0:
		case agreed == nil:
			agreed = s.names
		default:
			both := slices.DeleteFunc(slices.Clone(agreed), func(name string) bool { return !slices.Contains(s.names, name) })
			if len(both) == 0 {
				return "", &AlgorithmError{Source: s.source, Previous: agreed[0]}
			}
			agreed = both
		}
	}
	if agreed == nil {
		return defaultAlgorithm, nil
	}
	return agreed[0], nil
}

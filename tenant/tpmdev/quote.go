package tpmdev

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

const (
	maxPCR = 23
	// quoteTries is how often it is quoted while PCRs change in between.
	quoteTries = 10
	// quotePause is the wait before the next try.
	quotePause = 50 * time.Millisecond
	// readRounds bounds the commands that read PCRs, each of which gives up to 8.
	readRounds = 2 * (maxPCR + 1)
)

// quoted is a quote in its three parts.
type quoted struct{ attest, signature, blob []byte }

// bank sees that the TPM has PCRs of the hash, before keys are made.
func (s *session) bank() error {
	const doing = "asking for its banks of PCRs"
	response, err := tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: 1}.Execute(s.tpm)
	if err != nil {
		return s.t.ofTPM(doing, "", err)
	}
	banks, err := response.CapabilityData.Data.AssignedPCR()
	if err != nil {
		return s.t.ofTPM(doing, "", err)
	}
	var names []string
	for _, b := range banks.PCRSelections {
		if len(bytes.Trim(b.PCRSelect, "\x00")) == 0 {
			continue // known to the TPM, but switched off
		}
		if b.Hash == s.alg.hash.id {
			return nil
		}
		if i := slices.IndexFunc(hashAlgs(), func(h hashAlg) bool { return h.id == b.Hash }); i >= 0 {
			names = append(names, hashAlgs()[i].name)
		}
	}
	e := &Error{Kind: NoBank, TPM: s.t.name, Err: fmt.Errorf("it has no bank of PCRs of the hash %s", s.alg.hash.name),
		Hint: "the firmware's setup or tpm2_pcrallocate switches banks on"}
	if names != nil {
		e.Err = fmt.Errorf("it has no bank of PCRs of the hash %s, but %s", s.alg.hash.name, strings.Join(names, ", "))
		e.Hint = "choose another hash: --tpm-hash-algorithm " + names[len(names)-1]
	}
	return e
}

// quote quotes the PCRs and reads them, until the values read are those that
// were signed.
func (s *session) quote(ak key, password []byte) (q quoted, tries int, err error) {
	for tries = 1; ; tries++ {
		values, err := s.values()
		if err != nil {
			return quoted{}, tries, err
		}
		q, digest, err := s.quoteOnce(ak, password)
		if err != nil {
			return quoted{}, tries, err
		}
		h := s.alg.hash.hash.New()
		for _, v := range values {
			h.Write(v)
		}
		if bytes.Equal(h.Sum(nil), digest) {
			q.blob, err = quote.EncodePCRBlob(quote.PCRBlob{Selections: []quote.Selection{{Bank: s.alg.hash.name, PCRs: s.request.PCRs}}, Values: values})
			if err != nil {
				return quoted{}, tries, &Error{Kind: NoTPM, TPM: s.t.name, Op: "reading PCRs", Err: err}
			}
			return q, tries, nil
		}
		if tries == quoteTries {
			return quoted{}, tries, &Error{Kind: Moving, TPM: s.t.name, Op: "quoting",
				Err:  fmt.Errorf("PCRs changed between reading and quoting, %d times (digest signed %s)", tries, hex.EncodeToString(digest)),
				Hint: "the machine measures many files just now: try again when it is quieter"}
		}
		s.t.pause(s.tpm.ctx, quotePause)
	}
}

// quoteOnce quotes; digest is what the TPM has signed of the PCRs.
func (s *session) quoteOnce(ak key, password []byte) (q quoted, digest []byte, err error) {
	const doing = "quoting"
	response, err := tpm2.Quote{
		SignHandle:     tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(password)},
		QualifyingData: tpm2.TPM2BData{Buffer: []byte(s.request.Nonce)},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, // that of the key
		PCRSelect:      s.selection(s.request.PCRs),
	}.Execute(s.tpm)
	if err != nil {
		return quoted{}, nil, s.t.ofTPM(doing, "", err)
	}
	attest, err := response.Quoted.Contents()
	if err != nil {
		return quoted{}, nil, s.t.ofTPM(doing, "", err)
	}
	info, err := attest.Attested.Quote()
	if err != nil {
		return quoted{}, nil, s.t.ofTPM(doing, "", err)
	}
	q = quoted{attest: response.Quoted.Bytes(), signature: tpm2.Marshal(response.Signature)}
	return q, info.PCRDigest.Buffer, nil
}

func (s *session) selection(pcrs []int) tpm2.TPMLPCRSelection {
	numbers := make([]uint, len(pcrs))
	for i, n := range pcrs {
		numbers[i] = uint(n)
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: s.alg.hash.id, PCRSelect: tpm2.PCClientCompatible.PCRs(numbers...)}}}
}

// values reads the PCRs, in ascending order. A TPM gives as many at a time as
// it likes.
func (s *session) values() ([][]byte, error) {
	const doing = "reading PCRs"
	left := slices.Clone(s.request.PCRs)
	var values [][]byte
	for round := 0; len(left) > 0; round++ {
		response, err := tpm2.PCRRead{PCRSelectionIn: s.selection(left)}.Execute(s.tpm)
		if err != nil {
			return nil, s.t.ofTPM(doing, "", err)
		}
		var given []int
		for _, selection := range response.PCRSelectionOut.PCRSelections {
			for n := range len(selection.PCRSelect) * 8 {
				if selection.PCRSelect[n/8]&(1<<(n%8)) != 0 {
					given = append(given, n)
				}
			}
		}
		digests := response.PCRValues.Digests
		// The lowest come first, so that what is left are the last.
		if len(given) == 0 || len(given) != len(digests) || len(given) > len(left) || !slices.Equal(given, left[:len(given)]) || round > readRounds {
			return nil, &Error{Kind: NoTPM, TPM: s.t.name, Op: doing, Err: errors.New("it gives other registers than it was asked for")}
		}
		for _, d := range digests {
			values = append(values, d.Buffer)
		}
		left = left[len(given):]
	}
	return values, nil
}

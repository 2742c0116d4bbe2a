package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/keylime/keylime-tenant/tenant/quote"
)

// registerFlags are the options that say what the TPM's registers hold.
type registerFlags struct {
	file             string
	bank             string
	quote, ak, nonce string
}

func (r *registerFlags) add(o *options) {
	o.section = "What the TPM says"
	o.text(&r.file, "pcrs", "", "FILE", "values of PCRs, as tpm2_pcrread prints them, or lines of bank, number and value")
	o.text(&r.bank, "bank", "", "NAME", "the bank to compare (default: sha256 if the file has it)")
	o.text(&r.quote, "quote", "", "FILE", "a quote as agents send it (r...:...:...), verified with --ak and --nonce")
	o.text(&r.ak, "ak", "", "FILE", "the attestation key: TPM2B_PUBLIC, binary or in base64 (aik_tpm of regstatus)")
	o.text(&r.nonce, "nonce", "", "TEXT", "the nonce that the quote must answer")
}

// registers are the values of a TPM's PCRs in one bank. A nil *registers is
// none at all.
type registers struct {
	from   string
	bank   string
	values map[int][]byte
}

// forBoot is what a boot log is compared with.
func (r *registers) forBoot() (bank string, values map[int][]byte) {
	if r == nil {
		return "", nil
	}
	return r.bank, r.values
}

// forFiles is what an IMA list is compared with; nothing if PCR 10 is not known.
func (r *registers) forFiles() (bank string, value []byte) {
	if r == nil {
		return "", nil
	}
	return r.bank, r.values[10]
}

// registers reads what the options name; nil if they name nothing.
func (a *app) registers(f *registerFlags) (*registers, error) {
	switch {
	case f.quote != "" && f.file != "":
		return nil, usagef("--pcrs and --quote cannot be given together: a quote holds the values")
	case f.quote == "" && (f.ak != "" || f.nonce != ""):
		return nil, usagef("--ak and --nonce are about a quote, and there is none").hint("add --quote FILE")
	case f.quote != "":
		return a.quoted(f)
	case f.file == "":
		if f.bank != "" {
			return nil, usagef("--bank is about values of PCRs, and there are none").hint("add --pcrs FILE")
		}
		return nil, nil
	}
	data, err := a.readFile("--pcrs", f.file)
	if err != nil {
		return nil, err
	}
	banks, err := parseRegisters(data)
	if err != nil {
		return nil, &fileError{Path: f.file, Err: err, Advice: "tpm2_pcrread > FILE writes the values of a machine's TPM"}
	}
	return chooseBank(f, banks)
}

// chooseBank picks the bank to compare.
func chooseBank(f *registerFlags, banks map[string]map[int][]byte) (*registers, error) {
	bank := f.bank
	if bank == "" {
		for _, bank = range []string{"sha256", "sha384", "sha512", "sha1"} {
			if len(banks[bank]) > 0 {
				break
			}
		}
	}
	if len(banks[bank]) == 0 {
		return nil, &fileError{Path: f.file, Cause: "no values of bank " + strconv.Quote(bank)}
	}
	return &registers{from: f.file + " (" + bank + ")", bank: bank, values: banks[bank]}, nil
}

// quoted verifies a quote and takes the values from it.
func (a *app) quoted(f *registerFlags) (*registers, error) {
	switch {
	case f.ak == "" || f.nonce == "":
		return nil, usagef("a quote proves nothing without the key that signed it and the nonce that was asked").
			hint("add --ak FILE and --nonce TEXT; without them, give the values with --pcrs")
	case f.bank != "":
		return nil, usagef("--bank is about --pcrs: a quote says itself which bank it is of")
	}
	text, err := a.readFile("--quote", f.quote)
	if err != nil {
		return nil, err
	}
	ak, err := a.readFile("--ak", f.ak)
	if err != nil {
		return nil, err
	}
	if raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(ak))); err == nil {
		ak = raw
	}
	untrusted, err := readQuote(text)
	if err != nil {
		return nil, &fileError{Path: f.quote, Err: err}
	}
	verified, err := quote.Verify(untrusted, quote.Expect{AK: ak, Nonce: f.nonce})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.quote, err)
	}
	values := map[int][]byte{}
	for _, n := range verified.PCRs() {
		values[n], _ = verified.PCR(n)
	}
	return &registers{from: f.quote + ", verified (" + verified.Bank() + ")", bank: verified.Bank(), values: values}, nil
}

// readQuote reads a quote string, or an agent's answer that holds one. Where
// nobody reports the algorithms they are taken from the signature itself: it
// does not verify under others.
func readQuote(text []byte) (quote.Untrusted, error) {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte("{")) {
		hash, sign := signatureAlgorithms(string(text))
		return quote.Untrusted{Quote: string(text), HashAlg: hash, SignAlg: sign}, nil
	}
	type answer struct {
		Quote   string `json:"quote"`
		HashAlg string `json:"hash_alg"`
		EncAlg  string `json:"enc_alg"`
		SignAlg string `json:"sign_alg"`
	}
	var document struct {
		answer
		Results answer `json:"results"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return quote.Untrusted{}, fmt.Errorf("neither a quote nor an agent's answer: %w", err)
	}
	found := document.answer
	if found.Quote == "" {
		found = document.Results
	}
	if found.Quote == "" {
		return quote.Untrusted{}, errors.New("JSON without a quote")
	}
	return quote.Untrusted{Quote: found.Quote, HashAlg: found.HashAlg, EncAlg: found.EncAlg, SignAlg: found.SignAlg}, nil
}

// signatureAlgorithms are the hash and the scheme that begin the TPMT_SIGNATURE
// in the second part of a quote string, big-endian (TPM 2.0 Part 2, 11.3.4); ""
// for what is none, which the verification will say.
func signatureAlgorithms(text string) (hash, sign string) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 {
		return "", ""
	}
	raw, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil || len(raw) < 4 {
		return "", ""
	}
	sign = map[uint16]string{0x14: "rsassa", 0x16: "rsapss", 0x18: "ecdsa", 0x1a: "ecdaa", 0x1c: "ecschnorr"}[binary.BigEndian.Uint16(raw)]
	hash = map[uint16]string{0x04: "sha1", 0x0b: "sha256", 0x0c: "sha384", 0x0d: "sha512"}[binary.BigEndian.Uint16(raw[2:])]
	return hash, sign
}

var (
	registerLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:(sha1|sha256|sha384|sha512)[ \t:]+)?(?:PCR[-_ ]?)?([0-9]{1,2})[ \t]*[: \t=][ \t]*(?:0x)?([0-9a-fA-F]+)$`)
	})
	bankLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(sha1|sha256|sha384|sha512|sm3_256|sha3_\d+) ?:$`) })
)

// parseRegisters reads values of PCRs: what tpm2_pcrread prints, the name of a
// bank above its registers, or a line for each register with the bank in front.
func parseRegisters(data []byte) (map[string]map[int][]byte, error) {
	banks := map[string]map[int][]byte{}
	bank := ""
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || line == "pcrs:" {
			continue
		}
		if m := bankLine().FindStringSubmatch(line); m != nil {
			bank = m[1]
			continue
		}
		m := registerLine().FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line %d: %.60q is no value of a PCR", i+1, line)
		}
		of := bank
		if m[1] != "" {
			of = m[1]
		}
		n, value, err := registerValue(&of, m[2], m[3])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if banks[of] == nil {
			banks[of] = map[int][]byte{}
		}
		if _, twice := banks[of][n]; twice {
			return nil, fmt.Errorf("line %d: PCR %d of bank %s has two values", i+1, n, of)
		}
		banks[of][n] = value
	}
	if len(banks) == 0 {
		return nil, errors.New("no values of PCRs")
	}
	return banks, nil
}

// registerValue reads number and value of a register; a bank that nothing names
// is the one whose digests have the value's length.
func registerValue(bank *string, number, digits string) (n int, value []byte, err error) {
	sizes := map[string]int{"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64, "sm3_256": 32}
	if n, err = strconv.Atoi(number); err != nil || n > 23 {
		return 0, nil, fmt.Errorf("there is no PCR %s", number)
	}
	if value, err = hex.DecodeString(digits); err != nil {
		return 0, nil, fmt.Errorf("PCR %d: %w", n, err)
	}
	if *bank == "" {
		for _, name := range []string{"sha1", "sha256", "sha384", "sha512"} {
			if sizes[name] == len(value) {
				*bank = name
			}
		}
	}
	if size := sizes[*bank]; size != len(value) {
		return 0, nil, fmt.Errorf("PCR %d has %d octets, which is no value of bank %q", n, len(value), *bank)
	}
	return n, value, nil
}

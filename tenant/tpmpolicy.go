package tenant

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	imaPCR      = 10
	dataPCR     = 16
	maxPCR      = 23
	imaMask     = uint32(1 << imaPCR)
	mbMask      = uint32(0xfbff) // registers 0-9 and 11-15 (PROTOCOL.md 0.3)
	freePCRHint = "free for tpm_policy: 17 to 23"
)

// TPMPolicy says which values registers may have (PROTOCOL.md 10.3). The zero
// value demands nothing.
type TPMPolicy struct {
	pcrs   []int // in the order given
	values map[int][]string
}

// ParseTPMPolicy reads a JSON object of register numbers and their accepted
// values: one hex digest, or a list of them, of any bank's length. Register 16
// binds the transport key and 10 belongs to IMA: both are refused, as is a
// "mask", which is computed.
//
// Every error is an *[InvalidError] of kind [InvalidTPMPolicy] or
// [InvalidPCRNumber].
func ParseTPMPolicy(text string) (TPMPolicy, error) {
	policy, valuesErr, err := readTPMPolicy(text)
	if err == nil {
		err = valuesErr
	}
	if err != nil {
		return TPMPolicy{}, err
	}
	return policy, nil
}

// readTPMPolicy reads a policy. valuesErr is the first register whose values
// cannot be used; the policy names its register all the same, so that who owns
// it can be judged first.
func readTPMPolicy(text string) (policy TPMPolicy, valuesErr, err error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	token, err := decoder.Token()
	if err != nil {
		return TPMPolicy{}, nil, invalidTPM("not JSON: "+jsonCause(err), err)
	}
	if token != json.Delim('{') {
		return TPMPolicy{}, nil, invalidTPM("not a JSON object of register numbers and digests", nil)
	}
	policy.values = map[int][]string{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return TPMPolicy{}, nil, invalidTPM("not JSON: "+jsonCause(err), err)
		}
		pcr, err := pcrNumber(token.(string))
		if err != nil {
			return TPMPolicy{}, nil, err
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return TPMPolicy{}, nil, invalidTPM("not JSON: "+jsonCause(err), err)
		}
		values, err := pcrValues(pcr, raw)
		if err != nil && valuesErr == nil {
			valuesErr = err
		}
		if _, twice := policy.values[pcr]; twice {
			return TPMPolicy{}, nil, invalidTPM(fmt.Sprintf("PCR %d is given twice", pcr), nil)
		}
		policy.pcrs = append(policy.pcrs, pcr)
		policy.values[pcr] = values
	}
	if _, err := decoder.Token(); err != nil {
		return TPMPolicy{}, nil, invalidTPM("not JSON: "+jsonCause(err), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return TPMPolicy{}, nil, invalidTPM("not JSON: more text after the object", err)
	}
	return policy, valuesErr, nil
}

func invalidTPM(cause string, err error) error {
	return &InvalidError{Kind: InvalidTPMPolicy, Object: "tpm_policy", Cause: cause, Err: err,
		Hint: `example: --tpm-policy '{"22": ["0000000000000000000000000000000000000000000000000000000000000000"]}'`}
}

func pcrNumber(key string) (int, error) {
	bad := func(cause, classic string) error {
		return &InvalidError{Kind: InvalidPCRNumber, Object: "tpm_policy", Cause: cause, Hint: freePCRHint, Classic: classic}
	}
	n, err := strconv.Atoi(key)
	switch {
	case err != nil, key != strconv.Itoa(n), n < 0, n > maxPCR:
		return 0, bad(quoted(key)+" is not the number of a register (0 to 23)", "Invalid tpm policy pcr number: "+key)
	case n == dataPCR:
		return 0, bad("PCR 16 is reserved: it binds the agent's transport key",
			"Invalid allowlist PCR number 16, keylime uses this PCR to bind data.")
	case n == imaPCR:
		return 0, bad("PCR 10 is reserved: it belongs to IMA and is checked by a runtime policy",
			"Invalid allowlist PCR number 10, this PCR is used for IMA.")
	}
	return n, nil
}

func pcrValues(pcr int, raw json.RawMessage) ([]string, error) {
	var list []string
	var one string
	if json.Unmarshal(raw, &one) == nil {
		list = []string{one}
	} else if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return nil, invalidTPM(fmt.Sprintf("PCR %d: neither a digest nor a list of digests", pcr), err)
	}
	if len(list) == 0 {
		return nil, invalidTPM(fmt.Sprintf("PCR %d: an empty list accepts no value at all", pcr), nil)
	}
	for i, digest := range list {
		digest = strings.ToLower(digest)
		if _, err := hex.DecodeString(digest); err != nil || bankOf(digest) == "" {
			return nil, invalidTPM(fmt.Sprintf("PCR %d: %s is not a hex digest of 40, 64, 96 or 128 digits", pcr, quoted(list[i])), nil)
		}
		list[i] = digest
	}
	return list, nil
}

// bankOf is the bank a digest of this length can stand in.
func bankOf(hexDigest string) string {
	switch len(hexDigest) {
	case 40:
		return "sha1"
	case 64:
		return "sha256"
	case 96:
		return "sha384"
	case 128:
		return "sha512"
	}
	return ""
}

// PCRs are the registers the policy names, in ascending order.
func (p TPMPolicy) PCRs() []int {
	return slices.Sorted(slices.Values(p.pcrs))
}

// Mask has a bit for each register the policy names.
func (p TPMPolicy) Mask() uint32 {
	var mask uint32
	for _, pcr := range p.pcrs {
		mask |= 1 << pcr
	}
	return mask
}

// Unsatisfiable lists the registers for which no value belongs to a bank of
// the accepted hash algorithms.
func (p TPMPolicy) Unsatisfiable(accepted []string) []int {
	var bad []int
	for _, pcr := range p.pcrs {
		if !slices.ContainsFunc(p.values[pcr], func(d string) bool { return slices.Contains(accepted, bankOf(d)) }) {
			bad = append(bad, pcr)
		}
	}
	sort.Ints(bad)
	return bad
}

// wire is the text the verifier is sent: the policy, and the mask last, in the
// form of Python's json.dumps, since the status shows it as it was sent.
func (p TPMPolicy) wire(mask uint32) string {
	var b strings.Builder
	b.WriteByte('{')
	for _, pcr := range p.pcrs {
		fmt.Fprintf(&b, `"%d": ["%s"], `, pcr, strings.Join(p.values[pcr], `", "`))
	}
	fmt.Fprintf(&b, `"mask": "0x%x"}`, mask)
	return b.String()
}

// jsonCause says where a JSON text breaks, without repeating it.
func jsonCause(err error) string {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("%v (at byte %d)", syntax, syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return err.Error()
}

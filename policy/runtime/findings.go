package runtime

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// The names of our checks, for policy.Finding.Check, each with the event id of
// Keylime that it comes with (PROTOCOL.md 13).
const (
	CheckEntry         = "ima.entry"             // ima.parser.entry
	CheckTemplate      = "ima.template"          // ima.parser.entry
	CheckPCR           = "ima.pcr"               // ima.validation.ima_pcr
	CheckViolation     = "ima.violation"         // ima.validation.tomtou
	CheckTemplateHash  = "ima.template-hash"     // ima.validation.ima_hash
	CheckNotInPolicy   = "ima.not-in-policy"     // ima.validation.ima-ng.not_in_allowlist
	CheckDigest        = "ima.digest"            // ima.validation.ima-ng.runtime_policy_hash
	CheckKeyNotIn      = "ima.key-not-in-policy" // ima.validation.ima-ng.not_in_allowlist
	CheckKeyDigest     = "ima.key-digest"        // ima.validation.ima-ng.runtime_policy_hash
	CheckBufferNotIn   = "ima.buffer-not-in-policy"
	CheckBufferDigest  = "ima.buffer-digest"
	CheckKeyType       = "ima.key-type"       // ima.invalid_key
	CheckPCRMismatch   = "ima.pcr-mismatch"   // ima.pcr_mismatch
	CheckQuoteProgress = "ima.quote-progress" // ima.quote_progress
)

// words say what a map of the policy is about.
type words struct {
	notIn, digest        string // checks
	thing, place, accept string
}

var (
	fileWords = words{CheckNotInPolicy, CheckDigest, "file", "digests",
		"if the file is meant to be on the machine, add its digest to the policy, or exclude its path if it changes by itself"}
	keyWords = words{CheckKeyNotIn, CheckKeyDigest, "keyring", "keyrings",
		"if the machine is meant to load this key, add its digest to \"keyrings\", or the keyring to \"ignored_keyrings\""}
	bufferWords = words{CheckBufferNotIn, CheckBufferDigest, "buffer", "ima-buf",
		"if the buffer is as it should be, add its digest to \"ima-buf\""}
)

// maxName bounds names of a hostile list in findings, in bytes.
const maxName = 4096

// text makes a name fit to be shown: UTF-8 and not too long.
func text(b []byte) string {
	cut := len(b) > maxName
	if cut {
		b = b[:maxName]
	}
	s := strings.ToValidUTF8(string(b), "\ufffd")
	if cut {
		s += "..."
	}
	return s
}

// refuse adds a finding, or counts it.
func (r *run) refuse(e *ima.Entry, f policy.Finding) {
	if len(r.verdict.Findings) >= r.options.MaxFindings {
		r.dropped++
		return
	}
	f.Event = policy.Int(r.first + e.Line)
	if f.Where == "" {
		f.Where = text(e.Path)
	}
	r.verdict.Refuse(f)
}

// unreadable refuses a line that cannot be evaluated.
func (r *run) unreadable(e *ima.Entry) {
	f := policy.Finding{Check: CheckEntry, EventID: "ima.parser.entry", Found: []string{clip(text(e.Raw), 200)}}
	var unsupported *ima.UnsupportedError
	var malformed *ima.ParseError
	switch {
	case errors.As(e.Problem, &unsupported):
		r.unknown = unsupported.Template
		f.Check = CheckTemplate
		f.Message = fmt.Sprintf("template %q is not one that Keylime evaluates", unsupported.Template)
		f.Remedy = unsupported.Hint
	case errors.As(e.Problem, &malformed):
		f.Message = "line is no entry of a measurement list: " + malformed.Reason
	default:
		f.Message = "line is no entry of a measurement list"
	}
	r.refuse(e, f)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

func (r *run) wrongPCR(e *ima.Entry) {
	r.refuse(e, policy.Finding{Check: CheckPCR, EventID: "ima.validation.ima_pcr", PCR: policy.Int(ima.PCR),
		Expected: []string{"10"}, Found: []string{clip(text(e.PCR), 40)},
		Message: "entry belongs to another PCR than the 10 of IMA",
		Remedy:  "remove pcr= from the machine's IMA policy"})
}

func (r *run) violation(e *ima.Entry) {
	r.refuse(e, policy.Finding{Check: CheckViolation, EventID: "ima.validation.tomtou",
		Message: fmt.Sprintf("file %s was open for writing while it was measured, so its content is not known", quoted(e.Path)),
		Remedy:  "find out what writes to the file while it is used; what runs from it can be excluded from measurement by the machine's IMA policy"})
}

func (r *run) templateHash(e *ima.Entry, column []byte) {
	r.refuse(e, policy.Finding{Check: CheckTemplateHash, EventID: "ima.validation.ima_hash",
		Expected: []string{hex.EncodeToString(column)}, Found: []string{clip(hex.EncodeToString(e.TemplateHash), 200)},
		Message: fmt.Sprintf("entry of %s is not the one that was measured: its template hash belongs to other data", quoted(e.Path)),
		Remedy:  "if it is so for all entries, log_hash_alg of the policy is not that of the list; sha1 is right on nearly every machine"})
}

// notAllowed refuses a file, key or buffer; known are the digests of its name,
// in tells whether the name is in the policy at all.
func (r *run) notAllowed(e *ima.Entry, w words, known digests, in bool, signature error) {
	if len(r.verdict.Findings) >= r.options.MaxFindings {
		r.dropped++
		return
	}
	f := policy.Finding{Found: []string{hex.EncodeToString(e.Digest)}, Remedy: w.accept}
	if in {
		f.Check, f.EventID = w.digest, "ima.validation.ima-ng.runtime_policy_hash"
		f.Expected = known.hex()
		if w.thing == "file" && string(e.Path) == string(bootAggregate) {
			for _, raw := range slices.Sorted(maps.Keys(r.boot)) {
				f.Expected = append(f.Expected, hex.EncodeToString([]byte(raw)))
			}
		}
		f.Message = fmt.Sprintf("%s %s has a digest that the policy does not allow", w.thing, quoted(e.Path))
	} else {
		f.Check, f.EventID = w.notIn, "ima.validation.ima-ng.not_in_allowlist"
		f.Message = fmt.Sprintf("%s %s is not in \"%s\" of the policy", w.thing, quoted(e.Path), w.place)
	}
	if signature != nil {
		f.Message += ", and the signature does not count: " + signature.Error()
	}
	r.refuse(e, f)
}

func (r *run) badKey(e *ima.Entry, err error) {
	r.refuse(e, policy.Finding{Check: CheckKeyType, EventID: "ima.invalid_key",
		Message: fmt.Sprintf("key added to keyring %s %s", quoted(e.Path), strings.TrimPrefix(err.Error(), "key ")),
		Remedy:  "use RSA or EC keys for IMA"})
}

func (r *run) pcrMismatch(ev Evidence) {
	f := policy.Finding{Check: CheckPCRMismatch, EventID: "ima.pcr_mismatch", PCR: policy.Int(ima.PCR),
		Where: "the measurement list", Expected: []string{hex.EncodeToString(ev.PCR10)},
		Message: "measurement list does not lead to the value of PCR 10 in the quote: it was changed, cut, or is not of this boot",
		Remedy:  "a machine that has rebooted recovers with the next quote; otherwise do not trust it"}
	switch {
	case r.replay == nil:
		f.Message = "measurement list cannot be continued in another PCR bank; the next quote begins from the first entry"
		f.Remedy = ""
	case r.filled:
		f.Found = []string{hex.EncodeToString(r.replay.Value())}
		f.Message = fmt.Sprintf("measurement list is the machine's, but its kernel extends the %s bank with padded SHA-1 digests, which Keylime does not verify", ev.Bank)
		f.Remedy = "let the agent quote the sha256 bank, or use a kernel with this hash built in"
	case r.unknown != "":
		f.Found = []string{hex.EncodeToString(r.replay.Value())}
		f.Message = fmt.Sprintf("measurement list does not lead to the value of PCR 10 in the quote, because entries of template %q cannot be replayed", r.unknown)
		f.Remedy = "change the template on the machine as said above"
	default:
		f.Found = []string{hex.EncodeToString(r.replay.Value())}
	}
	r.verdict.Refuse(f)
}

func (r *run) quoteProgress(st *State) {
	r.verdict.Refuse(policy.Finding{Check: CheckQuoteProgress, EventID: "ima.quote_progress", PCR: policy.Int(ima.PCR),
		Where:    "the measurement list",
		Expected: []string{fmt.Sprintf("PCR 10 after line %d of this list, or after its last", st.progress.lines-st.progress.match)},
		Found:    []string{fmt.Sprintf("PCR 10 after line %d of %d", r.now.match, r.now.lines)},
		Message:  "quote is behind entries that were in the list before the last quote already",
		Remedy:   "a quote that stays behind its list hides what was measured since; restart the agent, and if it goes on do not trust the machine"})
}

// quoted is a path for a sentence.
func quoted(path []byte) string { return fmt.Sprintf("%.200q", text(path)) }

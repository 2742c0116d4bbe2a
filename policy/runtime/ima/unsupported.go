package ima

import "bytes"

// unsupportedTemplates are those the kernel knows and Keylime does not, with
// what an administrator can do.
var unsupportedTemplates = map[string]string{
	"ima-ngv2":   "boot with ima_template=ima-ng",
	"ima-sigv2":  "boot with ima_template=ima-sig",
	"ima-modsig": "remove template=ima-modsig from the IMA policy or boot with ima_template=ima-sig",
	"evm-sig":    "remove template=evm-sig from the IMA policy or boot with ima_template=ima-sig",
}

// unsupported sets the Problem of an entry whose template is not evaluated.
func (e *Entry) unsupported() {
	name := string(e.Template[:min(len(e.Template), 64)])
	e.Problem = &UnsupportedError{Line: e.Line, Template: name, Hint: unsupportedTemplates[name]}
}

// known tells whether the kernel has the entry's template by this name.
func (e *Entry) known() bool {
	_, ok := unsupportedTemplates[string(e.Template)]
	return ok
}

// parseUnsupported decodes digest, path and signature of the templates that
// Keylime does not evaluate, for display only, and sets the Problem.
func (e *Entry) parseUnsupported(data, scratch []byte) []byte {
	e.unsupported()
	if !e.known() {
		return scratch
	}
	name := string(e.Template)
	digest, rest, _ := cut(data)
	if name == "ima-ngv2" {
		e.Path = rest
	} else {
		var sig []byte
		e.Path, sig, _ = cut(rest)
		sig, _, _ = cut(sig)
		var ok bool
		if e.Sig, scratch, ok = decodeHex(scratch, sig); !ok || len(e.Sig) == 0 {
			e.Sig = nil
		}
	}
	// d-ngv2 is type:algorithm:digest, d-ng is algorithm:digest.
	if typ, after, two := bytes.Cut(digest, []byte{':'}); two && bytes.IndexByte(after, ':') >= 0 {
		e.DigestType, digest = typ, after
	}
	alg, text, _ := bytes.Cut(digest, []byte{':'})
	var ok bool
	if e.Digest, scratch, ok = decodeHex(scratch, text); ok {
		e.Alg = alg
	}
	return scratch
}

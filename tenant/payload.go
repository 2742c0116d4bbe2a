package tenant

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"

	"github.com/keylime/keylime-tenant/payload"
)

// PayloadInput is what an agent is to be given. At most one of Plain, KeyFile
// and Package may be there.
type PayloadInput struct {
	// Plain is a file to be encrypted under fresh keys; nil if there is none.
	Plain *Input
	// KeyFile holds K, U and V; Sealed is what was encrypted under K before.
	KeyFile, Sealed *Input
	// Package is a certificate package, made on demand (PROTOCOL.md 7.3).
	Package func() (*CertPackage, error)
	// MaxSize is the largest sealed payload in characters, 0 for no limit.
	MaxSize int
}

// Input is a file or download that has been read.
type Input struct {
	// Name is the path or URL, for messages.
	Name    string
	Content []byte
}

// CertPackage is a payload that carries a certificate for the agent.
type CertPackage struct {
	Zip []byte
	// Metadata is the JSON text that the verifier keeps with the agent.
	Metadata string
	// RevocationKeyPEM signs revocation notices; the verifier keeps it.
	RevocationKeyPEM payload.Secret
}

// Given says whether there is a payload or key at all.
func (p PayloadInput) Given() bool { return p.Plain != nil || p.KeyFile != nil || p.Package != nil }

// sealedPayload is a payload that is ready to be sent.
type sealedPayload struct {
	keys    *payload.Keys
	sealed  *string // nil: keys only
	authTag string

	metadata      string
	revocationKey payload.Secret
	// withheld: there is a payload, but nothing of it will be delivered.
	withheld bool
}

func (t *Tenant) rand() io.Reader {
	if t.Rand != nil {
		return t.Rand
	}
	return rand.Reader
}

// sealPayload encrypts what the agent is to be given, and checks its size.
func (t *Tenant) sealPayload(r AddRequest, n *notes) (sealedPayload, error) {
	in, none := r.Payload, sealedPayload{metadata: "{}"}
	sources := 0
	for _, given := range []bool{in.Plain != nil, in.KeyFile != nil, in.Package != nil} {
		if given {
			sources++
		}
	}
	if sources > 1 {
		return none, &InvalidError{Kind: PayloadSources, Object: "--file, --key and --cert", Cause: "only one of them can say what the agent is given",
			Classic: "You must specify one of -k, -f, or --cert to specify the key/contents to be securely delivered to the agent"}
	}
	if r.Push && (sources > 0 || in.Sealed != nil) {
		if !r.Compat {
			return none, &InvalidError{Kind: PayloadInPush, Object: "payload", Cause: "an agent of the push model is not contacted, so nothing can be delivered to it"}
		}
		n.add(Warning{Kind: WarnPushPayload, ID: r.ID, Object: "payload", Text: "nothing of the payload is delivered in the push model"})
		none.withheld = true
		return none, nil
	}
	if in.Sealed != nil && in.KeyFile == nil {
		if !r.Compat {
			return none, &InvalidError{Kind: PayloadSources, Object: "--payload", Cause: "an encrypted payload needs the keys it was encrypted with",
				Hint: "add --key FILE, or give the plain file with --file"}
		}
		n.add(Warning{Kind: WarnIgnoredPayload, ID: r.ID, Object: "--payload", Text: "-p without -k: the payload is not delivered"})
		return none, nil
	}
	switch {
	case in.Plain != nil:
		if err := checkEmpty(r, *in.Plain, n); err != nil {
			return none, err
		}
		inspect(r, *in.Plain, n)
		return t.sealPlain(r, *in.Plain, none)
	case in.KeyFile != nil:
		return t.openKeyFile(r, none, n)
	case in.Package != nil:
		pkg, err := in.Package()
		if err != nil {
			return none, err
		}
		none.metadata, none.revocationKey = pkg.Metadata, pkg.RevocationKeyPEM
		return t.sealPlain(r, Input{Name: "certificate package", Content: pkg.Zip}, none)
	}
	return none, nil
}

func (t *Tenant) sealPlain(r AddRequest, plain Input, p sealedPayload) (sealedPayload, error) {
	keys, err := payload.NewKeys(t.rand())
	if err != nil {
		return p, fmt.Errorf("making payload keys: %w", err)
	}
	sealed, err := payload.Seal(keys.K, plain.Content, t.rand())
	if err != nil {
		return p, fmt.Errorf("encrypting payload %s: %w", plain.Name, err)
	}
	p.keys, p.sealed, p.authTag = &keys, &sealed, payload.AuthTag(keys.K, r.ID)
	return p, checkSize(plain.Name, sealed, r.Payload.MaxSize)
}

func (t *Tenant) openKeyFile(r AddRequest, p sealedPayload, n *notes) (sealedPayload, error) {
	file := *r.Payload.KeyFile
	if lines := strings.Count(strings.TrimRight(string(file.Content), "\n"), "\n") + 1; lines != 3 && r.Compat {
		n.add(Warning{Kind: WarnIgnoredPayload, ID: r.ID, Object: "--key",
			Text: "key file " + file.Name + " does not hold three lines: no key and no payload is delivered"})
		return p, nil
	}
	keys, err := payload.ParseKeyFile(file.Content)
	if err != nil {
		return p, &InvalidError{Kind: InvalidKeyFile, Object: "key file " + file.Name, Err: err,
			Hint: "it holds K, U and V as three lines of base64; keylime_tenant payload encrypt makes one"}
	}
	p.keys, p.authTag = &keys, payload.AuthTag(keys.K, r.ID)
	if r.Payload.Sealed == nil {
		return p, nil
	}
	sealed := strings.TrimSpace(string(r.Payload.Sealed.Content))
	if _, err := payload.Open(keys.K, sealed); err != nil {
		return p, &InvalidError{Kind: InvalidPayload, Object: "payload " + r.Payload.Sealed.Name, Err: err,
			Cause: "key file " + file.Name + " does not open it", Hint: "content_keys.txt and content_payload.txt must be of one run"}
	}
	p.sealed = &sealed
	return p, checkSize(r.Payload.Sealed.Name, sealed, r.Payload.MaxSize)
}

// checkEmpty refuses an empty file: it is a slip of the one who made it. The
// Python tenant delivers it.
func checkEmpty(r AddRequest, plain Input, n *notes) error {
	if len(plain.Content) > 0 {
		return nil
	}
	if !r.Compat {
		return &InvalidError{Kind: InvalidPayload, Object: "payload " + plain.Name, Cause: "the file is empty"}
	}
	n.add(Warning{Kind: WarnEmptyPayload, ID: r.ID, Object: "payload", Text: "payload " + plain.Name + " is empty"})
	return nil
}

// inspect warns of what an agent will do with a payload that its author may not
// expect. What cannot be sent at all is refused elsewhere; the Python tenant
// warns of nothing.
func inspect(r AddRequest, plain Input, n *notes) {
	if r.Compat || len(plain.Content) == 0 {
		return
	}
	for _, text := range payload.Inspect(plain.Content, 0).Warnings {
		n.add(Warning{Kind: WarnPayload, ID: r.ID, Object: "payload", Text: "payload " + plain.Name + ": " + text})
	}
}

// checkSize holds the sealed payload against max_payload_size, which counts
// base64 characters (PROTOCOL.md 7.1).
func checkSize(name, sealed string, limit int) error {
	if limit == 0 || len(sealed) <= limit {
		return nil
	}
	return &InvalidError{Kind: PayloadTooLarge, Object: "payload " + name,
		Cause:   fmt.Sprintf("%d bytes once encrypted, and max_payload_size allows %d", len(sealed), limit),
		Hint:    "raise max_payload_size in tenant.conf and secure_size in the agent's configuration, or send less",
		Classic: fmt.Sprintf("Payload size %d exceeds max size %d", len(sealed), limit)}
}

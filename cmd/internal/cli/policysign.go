package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// signFlags are the options of policy sign.
type signFlags struct {
	out          outFile
	key, newKey  string
	public, cert string
	x509         bool
}

func newPolicySignCmd(a *app) *cobra.Command {
	var f signFlags
	cmd := a.command("sign POLICY", "sign a runtime policy",
		`Sign a runtime policy with a key on an elliptic curve (DSSE). What is signed is checked
to be a valid policy first. A verifier takes a signed policy with the public key:
add --runtime-policy signed.json --runtime-policy-sig-key key.pem.pub.`,
		`keylime_tenant policy sign policy.json --new-key key.pem -o signed.json
keylime_tenant policy sign policy.json --key key.pem -o signed.json
keylime_tenant policy verify signed.json --key key.pem.pub`,
		oneArg("POLICY"), func(_ context.Context, args []string) error { return a.sign(&f, args[0]) })
	o := options{flags: cmd.Flags(), section: "The key"}
	o.text(&f.key, "key", "k", "FILE", "private key (PEM, elliptic curve, no password)")
	o.text(&f.newKey, "new-key", "", "FILE", "make a key (P-256), and write it to FILE (0600) and its public half to FILE.pub")
	o.text(&f.public, "public-key", "", "FILE", "write the public half to FILE")
	o.on(&f.x509, "x509", "", "let the envelope carry a self-signed certificate, valid for 30 days, as its key id")
	o.text(&f.cert, "cert-out", "", "FILE", "write that certificate to FILE")
	o.section = "Options"
	f.out.add(&o, "the signed policy")
	return cmd
}

// sign signs a policy. Files appear when nothing can fail any more but writing
// them; the new key comes last but one, the signed policy last.
func (a *app) sign(f *signFlags, path string) error {
	switch {
	case f.key == "" && f.newKey == "":
		return usagef("policy sign needs a key").hint("add --key FILE, or --new-key FILE to make one")
	case f.key != "" && f.newKey != "":
		return usagef("--key and --new-key cannot be given together")
	case f.newKey == "-":
		return usagef("--new-key wants a file: a private key is not printed")
	case f.cert != "" && !f.x509:
		return usagef("--cert-out is for the certificate of --x509").hint("add --x509")
	}
	if err := f.out.check("policy sign"); err != nil {
		return err
	}
	content, err := a.signable(path)
	if err != nil {
		return err
	}
	key, keyPEM, err := a.signingKey(f)
	if err != nil {
		return err
	}
	public, err := dsse.PublicPEM(key)
	if err != nil {
		return err
	}
	var envelope, certPEM []byte
	if f.x509 {
		envelope, certPEM, err = dsse.SignX509(content, key, rand.Reader, a.now())
	} else {
		envelope, err = dsse.SignECDSA(content, key, rand.Reader)
	}
	if err != nil {
		return err
	}
	for _, path := range []string{f.newKey, f.public, f.cert, f.out.path} {
		if err := writable(path); err != nil {
			return &outputError{Path: path, Err: err}
		}
	}
	if f.newKey != "" {
		if err := a.writeNewKey(f.newKey, keyPEM, public); err != nil {
			return err
		}
	}
	if f.public != "" {
		if err := a.writeFile(f.public, public, 0o644); err != nil {
			return err
		}
	}
	if f.cert != "" {
		if err := a.writeFile(f.cert, certPEM, 0o644); err != nil {
			return err
		}
	}
	return a.writeText(f.out, envelope)
}

// signable reads a policy and normalises it as keylime-policy does.
func (a *app) signable(path string) ([]byte, error) {
	d, err := a.openDocument(path)
	if err != nil {
		return nil, err
	}
	switch d.content {
	case contentSigned:
		d.close()
		return nil, &fileError{Path: d.path, Cause: "the policy is signed already", Advice: "keylime_tenant policy verify " + d.path + " --key PUBLIC_KEY --payload policy.json takes it out of its envelope"}
	case contentMBPolicy:
		d.close()
		return nil, &fileError{Path: d.path, Cause: "a measured-boot policy cannot be signed: no verifier would check it"}
	}
	p, _, err := d.runtimePolicy()
	if err != nil {
		return nil, err
	}
	return p.Marshal(), nil
}

// signingKey reads the key, or makes one; keyPEM is that of a new key.
func (a *app) signingKey(f *signFlags) (key *ecdsa.PrivateKey, keyPEM []byte, err error) {
	if f.newKey != "" {
		for _, path := range []string{f.newKey, f.newKey + ".pub"} {
			if _, err := os.Lstat(path); err == nil {
				return nil, nil, usagef("--new-key %s: %s exists already, and a key is not overwritten", f.newKey, path).hint("--key %s signs with it", f.newKey)
			}
		}
		return dsse.NewKey(rand.Reader)
	}
	text, err := a.readFile("--key", f.key)
	if err != nil {
		return nil, nil, err
	}
	if key, err = dsse.ParsePrivateKey(text); err != nil {
		return nil, nil, &fileError{Path: f.key, Err: err}
	}
	return key, nil, nil
}

func (a *app) writeNewKey(path string, private, public []byte) error {
	if err := a.writeFile(path, private, 0o600); err != nil {
		return err
	}
	if err := a.writeFile(path+".pub", public, 0o644); err != nil {
		return err
	}
	a.note("new key in " + path + ", its public half in " + path + ".pub")
	return nil
}

func newPolicyVerifyCmd(a *app) *cobra.Command {
	var key, payload string
	cmd := a.command("verify SIGNED-POLICY", "verify the signature of a runtime policy",
		`Verify that a runtime policy was signed with the key whose public half (or certificate)
--key names, and that what was signed is a valid policy. Key ids and certificates within
the envelope prove nothing and are not believed. Exit code 3 means refused.`,
		"keylime_tenant policy verify signed.json --key key.pem.pub --payload policy.json",
		oneArg("SIGNED-POLICY"), func(_ context.Context, args []string) error {
			if key == "" {
				return usagef("policy verify needs the public key to verify with").hint("add --key FILE: PEM, a public key or a certificate that you have from elsewhere")
			}
			d, err := a.openDocument(args[0])
			if err != nil {
				return err
			}
			switch d.content {
			case contentSigned, contentJSON:
			case contentRuntimePolicy:
				d.close()
				return &statusError{Code: exitRefused, Err: errors.New(d.path + " is not signed at all")}
			default:
				return d.unfit(contentSigned.String())
			}
			data, err := d.bytes()
			if err != nil {
				return err
			}
			content, err := a.verified(data, d.path, key)
			if err != nil {
				return err
			}
			p, err := runtime.ParsePolicy(content)
			if err != nil {
				return &fileError{Path: d.path, Cause: "the signature is good, but what was signed is no valid runtime policy", Err: err}
			}
			if payload != "" {
				if err := a.writeFile(payload, content, 0o644); err != nil {
					return err
				}
				if payload == "-" {
					return nil
				}
			}
			return a.show(verifyResult{File: d.path, Key: key, Verified: true, Payload: payload, Summary: p.Summarize()})
		})
	o := options{flags: cmd.Flags()}
	o.text(&key, "key", "k", "FILE", "the public key or the certificate, PEM")
	o.text(&payload, "payload", "", "FILE", "write the policy without its envelope to FILE; - is standard output")
	return cmd
}

// verified checks an envelope and returns what is in it.
func (a *app) verified(data []byte, path, keyPath string) ([]byte, error) {
	text, err := a.readFile("--key", keyPath)
	if err != nil {
		return nil, err
	}
	var key *ecdsa.PublicKey
	if strings.Contains(string(text), "BEGIN CERTIFICATE") {
		key, err = dsse.CertificateKey(text)
	} else {
		key, err = dsse.ParsePublicKey(text)
	}
	if err != nil {
		return nil, &fileError{Path: keyPath, Err: err}
	}
	content, err := dsse.VerifyWith(data, key)
	var refused *dsse.Error
	switch {
	case err == nil:
		return content, nil
	case errors.As(err, &refused) && refused.Check == dsse.CheckSignature:
		return nil, &statusError{Code: exitRefused, Err: fmt.Errorf("%s: %w", path, err)}
	case errors.As(err, &refused) && refused.Check == dsse.CheckSigned:
		return nil, &statusError{Code: exitRefused, Err: fmt.Errorf("%s is not signed at all", path)}
	case errors.As(err, &refused) && refused.Check == dsse.CheckPayloadType:
		return nil, &statusError{Code: exitRefused, Err: fmt.Errorf("%s: %w", path, err)}
	}
	return nil, &fileError{Path: path, Err: err}
}

// verifyResult tells of a good signature.
type verifyResult struct {
	File     string          `json:"file"`
	Key      string          `json:"key_file"`
	Verified bool            `json:"verified"`
	Payload  string          `json:"payload_file,omitempty"`
	Summary  runtime.Summary `json:"policy"`
}

// Screen says so.
func (r verifyResult) Screen() render.Screen {
	fields := []render.Field{
		{Name: "signature", Value: "good: made with the key of " + r.Key, Tone: render.Good},
		{Name: "policy", Value: fmt.Sprintf("%s, %s", count(r.Summary.Files, "file"), count(len(r.Summary.Excludes), "exclude"))},
	}
	if r.Payload != "" {
		fields = append(fields, render.Field{Name: "written to", Value: r.Payload})
	}
	return render.Screen{{Title: r.File, Fields: fields}}
}

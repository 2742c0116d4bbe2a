package cli

import (
	"context"

	"github.com/keylime/keylime-tenant/tenant"
)

// policyFlags are the options that say what an agent is held against, or what
// a stored policy is made of.
type policyFlags struct {
	runtime, runtimeURL, checksum, signatureKey, runtimeName string
	measuredBoot, measuredBootName                           string
	tpm                                                      string
	allowlist, allowlistURL, exclude                         string

	keys, keySignatures, keySignatureKeys    []string
	keyURLs, keySignatureURLs, keyURLSigKeys []string
}

// add defines the options of add and update, with names of stored policies, or
// those of the verbs of runtime policies, where the name is an argument.
func (p *policyFlags) add(o *options, enrols bool) {
	o.section = "The policy"
	if enrols {
		o.section = "What it is held against"
		p.addMeasuredBoot(o)
		o.text(&p.measuredBootName, "mb-policy-name", "", "NAME", "a measured-boot policy on the verifier; with --mb-policy: store that so")
	}
	o.text(&p.runtime, "runtime-policy", "", "FILE", "runtime policy, plain or signed")
	if enrols {
		o.text(&p.runtimeName, "runtime-policy-name", "", "NAME", "a runtime policy on the verifier; with a file: store that so")
	}
	o.text(&p.runtimeURL, "runtime-policy-url", "", "URL", "fetch the runtime policy; needs the checksum")
	o.text(&p.checksum, "runtime-policy-checksum", "", "SHA256", "SHA-256 the runtime policy must have, in hex")
	o.text(&p.signatureKey, "runtime-policy-sig-key", "", "FILE", "EC public key that must have signed the runtime policy")
	o.text(&p.exclude, "exclude", "", "FILE", "Python regular expressions of paths that are not checked, one a line")
	o.text(&p.tpm, "tpm-policy", "", "JSON", `values that PCRs must have, such as '{"22": "00ff..."}'`)
	o.section = "Old forms of policies (deprecated)"
	o.text(&p.allowlist, "allowlist", "", "FILE", "old allowlist, which is converted")
	o.text(&p.allowlistURL, "allowlist-url", "", "URL", "fetch an old allowlist")
	if enrols {
		p.addKeys(o)
	}
}

// addKeys defines the options for keys that check signatures in the IMA list.
func (p *policyFlags) addKeys(o *options) {
	o.list(&p.keys, "signature-verification-key", "FILE", "key for signatures in the IMA list; put it into the policy instead")
	o.list(&p.keySignatures, "signature-verification-key-sig", "FILE", "detached GPG signature of that key")
	o.list(&p.keySignatureKeys, "signature-verification-key-sig-key", "FILE", "public key that made the signature")
	o.list(&p.keyURLs, "signature-verification-key-url", "URL", "fetch a key for signatures in the IMA list")
	o.list(&p.keySignatureURLs, "signature-verification-key-sig-url", "URL", "fetch its detached signature")
	o.list(&p.keyURLSigKeys, "signature-verification-key-sig-url-key", "FILE", "public key that made the fetched signature")
}

// addMeasuredBoot defines the option of measured-boot policies.
func (p *policyFlags) addMeasuredBoot(o *options) {
	o.text(&p.measuredBoot, "mb-policy", "", "FILE", "measured-boot policy (reference state); \"default\" is mb_refstate of the configuration")
}

// input reads files and fetches what is named by URLs.
func (p *policyFlags) input(ctx context.Context, a *app) (tenant.PolicyInput, error) {
	in := tenant.PolicyInput{RuntimeName: p.runtimeName, MeasuredBootName: p.measuredBootName, Checksum: p.checksum, TPM: p.tpm}
	if err := p.exclusions(a); err != nil {
		return in, err
	}
	for _, file := range []struct {
		option, path string
		into         **tenant.Input
	}{
		{"--runtime-policy", p.runtime, &in.Runtime},
		{"--runtime-policy-sig-key", p.signatureKey, &in.SignatureKey},
		{"--allowlist", p.allowlist, &in.Allowlist},
		{"--exclude", p.exclude, &in.Exclude},
	} {
		var err error
		if *file.into, err = a.input(file.option, file.path); err != nil {
			return in, err
		}
	}
	if err := p.measuredBootInput(a, &in); err != nil {
		return in, err
	}
	if err := p.fetch(ctx, a, &in); err != nil {
		return in, err
	}
	var err error
	in.IMAKeys, err = p.imaKeys(ctx, a)
	return in, err
}

// exclusions are the rules between options that the classic grammar has checked
// itself, in its own words.
func (p *policyFlags) exclusions(a *app) error {
	switch {
	case a.old != nil:
		return nil
	case p.runtime != "" && p.runtimeURL != "":
		return usagef("--runtime-policy and --runtime-policy-url cannot be given together")
	case p.allowlist != "" && p.allowlistURL != "":
		return usagef("--allowlist and --allowlist-url cannot be given together")
	case p.runtimeURL != "" && p.checksum == "":
		return usagef("--runtime-policy-url needs --runtime-policy-checksum: nothing else vouches for what is fetched").
			hint("sha256sum POLICY prints it")
	case p.checksum != "" && p.runtime == "" && p.runtimeURL == "":
		return usagef("--runtime-policy-checksum is of a policy, and there is none").hint("add --runtime-policy or --runtime-policy-url")
	}
	return nil
}

// measuredBootInput reads the measured-boot policy; "default" is the file that
// the configuration names.
func (p *policyFlags) measuredBootInput(a *app, in *tenant.PolicyInput) error {
	path := p.measuredBoot
	if path == "default" {
		if path = a.configured.MBRefstate; path == "" {
			return &tenant.InvalidError{Kind: tenant.InvalidMBPolicy, Object: "--mb-policy default", Cause: "mb_refstate in tenant.conf names no file",
				Hint: "name the file: --mb-policy FILE"}
		}
	}
	var err error
	in.MeasuredBoot, err = a.input("--mb-policy", path)
	return err
}

// fetch gets the policies that are named by URLs.
func (p *policyFlags) fetch(ctx context.Context, a *app, in *tenant.PolicyInput) error {
	for _, remote := range []struct {
		option, address string
		into            **tenant.Input
	}{
		{"--runtime-policy-url", p.runtimeURL, &in.Runtime},
		{"--allowlist-url", p.allowlistURL, &in.Allowlist},
	} {
		if remote.address == "" {
			continue
		}
		if remote.option == "--allowlist-url" { // a policy has a checksum
			if err := a.unvouched(remote.option, remote.address); err != nil {
				return err
			}
		}
		got, err := a.download(ctx, remote.option, remote.address)
		if err != nil {
			return err
		}
		*remote.into = &got
	}
	return nil
}

// unused refuses signatures and keys of them that belong to no key: a key whose
// signature was given in the wrong option would be taken unchecked.
func (p *policyFlags) unused() error {
	for _, list := range []struct {
		option, keyOption string
		given, keys       []string
	}{
		{"--signature-verification-key-sig", "--signature-verification-key", p.keySignatures, p.keys},
		{"--signature-verification-key-sig-key", "--signature-verification-key", p.keySignatureKeys, p.keys},
		{"--signature-verification-key-sig-url", "--signature-verification-key-url", p.keySignatureURLs, p.keyURLs},
		{"--signature-verification-key-sig-url-key", "--signature-verification-key-url", p.keyURLSigKeys, p.keyURLs},
	} {
		if n := len(list.keys); len(list.given) > n {
			return &tenant.InvalidError{Kind: tenant.InvalidSignature, Object: list.option + " " + list.given[n],
				Cause: "there is no key that it belongs to", Hint: "each belongs to the " + list.keyOption + " at the same place"}
		}
	}
	return nil
}

// imaKeys reads the keys and, position by position, their signatures.
func (p *policyFlags) imaKeys(ctx context.Context, a *app) ([]tenant.KeyInput, error) {
	if err := p.unused(); err != nil {
		return nil, err
	}
	var keys []tenant.KeyInput
	for i, path := range p.keys {
		key, err := a.input("--signature-verification-key", path)
		if err != nil {
			return nil, err
		}
		in := tenant.KeyInput{Key: *key}
		if in.Signature, err = a.input("--signature-verification-key-sig", at(p.keySignatures, i)); err != nil {
			return nil, err
		}
		if in.SignatureKey, err = a.input("--signature-verification-key-sig-key", at(p.keySignatureKeys, i)); err != nil {
			return nil, err
		}
		keys = append(keys, in)
	}
	for i, address := range p.keyURLs {
		if at(p.keySignatureURLs, i) == "" {
			if err := a.unvouched("--signature-verification-key-url", address); err != nil {
				return nil, err
			}
		}
		got, err := a.download(ctx, "--signature-verification-key-url", address)
		if err != nil {
			return nil, err
		}
		in := tenant.KeyInput{Key: got}
		if signature := at(p.keySignatureURLs, i); signature != "" {
			got, err := a.download(ctx, "--signature-verification-key-sig-url", signature)
			if err != nil {
				return nil, err
			}
			in.Signature = &got
		}
		if in.SignatureKey, err = a.input("--signature-verification-key-sig-url-key", at(p.keyURLSigKeys, i)); err != nil {
			return nil, err
		}
		keys = append(keys, in)
	}
	return keys, nil
}

// at is an element of a list, "" beyond its end.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

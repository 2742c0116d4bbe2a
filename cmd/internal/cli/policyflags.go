package cli

import (
	"context"

	"github.com/spf13/pflag"

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
func (p *policyFlags) add(f *pflag.FlagSet, names bool) {
	f.StringVar(&p.runtime, "runtime-policy", "", "`FILE` of the runtime policy (JSON, or signed)")
	f.StringVar(&p.runtimeURL, "runtime-policy-url", "", "fetch the runtime policy from `URL`; needs --runtime-policy-checksum")
	f.StringVar(&p.checksum, "runtime-policy-checksum", "", "`SHA256` that the runtime policy must have, in hex")
	f.StringVar(&p.signatureKey, "runtime-policy-sig-key", "", "`FILE` of the EC public key that must have signed the runtime policy")
	if names {
		f.StringVar(&p.runtimeName, "runtime-policy-name", "", "`NAME` of a runtime policy on the verifier; with a file: store it so")
		p.addMeasuredBoot(f)
		f.StringVar(&p.measuredBootName, "mb-policy-name", "", "`NAME` of a measured-boot policy on the verifier; with a file: store it so")
	}
	f.StringVar(&p.tpm, "tpm-policy", "", "values that PCRs must have: `JSON` such as '{\"22\": \"00...00\"}'")
	f.StringVar(&p.exclude, "exclude", "", "`FILE` of Python regular expressions of paths that are not checked")
	f.StringVar(&p.allowlist, "allowlist", "", "`FILE` of an old allowlist, which is converted (deprecated)")
	f.StringVar(&p.allowlistURL, "allowlist-url", "", "fetch an old allowlist from `URL` (deprecated)")
	f.StringArrayVar(&p.keys, "signature-verification-key", nil, "`FILE` of a key for signatures in the IMA list (deprecated: put it into the policy)")
	f.StringArrayVar(&p.keySignatures, "signature-verification-key-sig", nil, "`FILE` of the GPG signature of that key")
	f.StringArrayVar(&p.keySignatureKeys, "signature-verification-key-sig-key", nil, "`FILE` of the key that made the signature")
	f.StringArrayVar(&p.keyURLs, "signature-verification-key-url", nil, "the same by `URL`")
	f.StringArrayVar(&p.keySignatureURLs, "signature-verification-key-sig-url", nil, "the same by `URL`")
	f.StringArrayVar(&p.keyURLSigKeys, "signature-verification-key-sig-url-key", nil, "`FILE` of the key that made the signature at the URL")
}

// addMeasuredBoot defines the option of measured-boot policies.
func (p *policyFlags) addMeasuredBoot(f *pflag.FlagSet) {
	f.StringVar(&p.measuredBoot, "mb-policy", "", "`FILE` of the measured-boot policy, or \"default\" for that of the configuration")
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
		got, err := a.download(ctx, remote.option, remote.address)
		if err != nil {
			return err
		}
		*remote.into = &got
	}
	return nil
}

// imaKeys reads the keys and, position by position, their signatures.
func (p *policyFlags) imaKeys(ctx context.Context, a *app) ([]tenant.KeyInput, error) {
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

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

// addEKRequire defines the option that says what vouches for an EK.
func addEKRequire(o *options, into *string) {
	o.text(into, "ek-require", "", "WHAT", "chain, pin, both or either has to vouch for its TPM (ek_require)")
}

// requireEK puts the value of --ek-require over the configuration.
func (a *app) requireEK(ctx context.Context, value string) error {
	if value == "" {
		return nil
	}
	c, err := a.config(ctx)
	if err != nil {
		return err
	}
	if err := c.Override("ek_require", value, "--ek-require"); err != nil {
		return usagef("--ek-require %q: neither chain, pin, both nor either", value)
	}
	return nil
}

func (e *ekVerbs) verifyCmd() *cobra.Command {
	var require, public string
	cmd := e.command("verify ID|FILE", "verify that an EK is vouched for", `Verify an endorsement key by the same rules as add does: of a registered agent, or from a
file. An agent is not asked for anything: that it holds this EK is the registrar's word.

From a file with a certificate, its chain and dates are verified; whether it belongs to
the machine in question is left open, unless --public holds that machine's EK.
- is standard input; what an ek_check_script gets in EK_CERT and EK_TPM, base64, is read too.

Exit code: 0 if it is vouched for, 3 if not, 5 if the registrar does not know the agent.`,
		`keylime_tenant ek verify d432fbb3-d2f1-4a97-9ef7-75bd81c00000
keylime_tenant ek verify ek_cert.der --store ./tpm_cert_store
keylime_tenant ek verify ID --ek-require both
printf %s "$EK_CERT" | keylime_tenant ek verify - --store "$TPM_CERT_STORE" --public ek.pem`,
		oneArg("ID or FILE"), func(ctx context.Context, args []string) error {
			if err := e.requireEK(ctx, require); err != nil {
				return err
			}
			c, err := e.settings(ctx)
			if err != nil {
				return err
			}
			source, err := e.source(ctx, args[0])
			if err != nil {
				return err
			}
			key, err := e.publicKey(source, public)
			if err != nil {
				return err
			}
			result := ekVerdict{EK: source.result(e.now())}
			if source.agent != nil {
				var t *tenant.Tenant
				if t, err = e.tenant(ctx); err != nil {
					return err
				}
				result.By, err = t.VerifyEK(ctx, source.agent)
			} else {
				result.By, result.Open, err = e.verifyFile(c, source)
				if err == nil && key != nil {
					result.Open, err = "", certificateIsFor(source.certificate, key)
				}
			}
			if err != nil {
				return err
			}
			result.Trusted = result.By != tenant.EKByNobody
			if err := e.show(result); err != nil || result.Trusted {
				return err
			}
			return &statusError{Code: exitRefused}
		})
	o := options{flags: cmd.Flags(), section: "What has to vouch for it"}
	addEKRequire(&o, &require)
	o.text(&public, "public", "", "FILE", "the EK that the certificate in FILE must be for: TPM2B_PUBLIC or PEM")
	cmd.ValidArgsFunction = e.completeSource
	return cmd
}

// publicKey reads the EK that a certificate from a file must be for; nil if none
// is named.
func (e *ekVerbs) publicKey(s *ekSource, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	switch {
	case s.agent != nil:
		return nil, usagef("--public is for certificates from files: of an agent the registrar knows the EK")
	case s.certificate == nil:
		return nil, usagef("--public is for certificates: %s holds a public key itself", s.name)
	}
	data, err := e.readFile("--public", path)
	if err != nil {
		return nil, err
	}
	if inner, err := decodeBase64(string(data)); err == nil && len(inner) > 0 {
		data = inner
	}
	if _, err := ek.ReadPublic(data); err != nil {
		return nil, usagef("--public %s: %w", path, err)
	}
	return data, nil
}

// verifyFile holds an EK from a file against store and pins, as ek_require says.
func (e *ekVerbs) verifyFile(c *config.Config, s *ekSource) (by tenant.EKOutcome, open string, err error) {
	chain := func() error {
		if s.certificate == nil {
			return &ek.VerificationError{Check: ek.CheckNoCertificate, Err: fmt.Errorf("%s holds a public key alone: a chain needs the certificate", s.name)}
		}
		store, err := ek.LoadStore(c.TPMCertStore)
		if err != nil {
			return err
		}
		for _, skipped := range store.Skipped() {
			e.present().Event(tenant.EKSkipped(skipped))
		}
		_, err = store.VerifyCertificate(s.certificate.Raw, ek.Options{Now: e.now(), Compat: c.EKCompat})
		return err
	}
	pin := func() error {
		public, err := s.key()
		if err != nil {
			return err
		}
		pins, err := ek.LoadPins(c.PinPath())
		if err != nil {
			return err
		}
		_, err = pins.VerifyKey(public, "")
		return err
	}
	switch tenant.EKRequire(c.EKRequire) {
	case tenant.EKPinned:
		return tenant.EKByPin, "", advise(pin(), c.TPMCertStore)
	case tenant.EKBoth:
		if err = chain(); err == nil {
			err = pin()
		}
		by = tenant.EKByCertPin
	case tenant.EKEither:
		if by, err = tenant.EKByPin, pin(); err != nil && !tenant.PinDecides(err) {
			pinErr := err
			by = tenant.EKByCertificate
			if err = chain(); err != nil {
				err = fmt.Errorf("%w; and %w", err, pinErr)
			}
		}
	default:
		by, err = tenant.EKByCertificate, chain()
	}
	if by != tenant.EKByPin {
		open = "whether the certificate belongs to the TPM of a machine was not checked"
	}
	return by, open, advise(err, c.TPMCertStore)
}

// advise says what to do about an EK from a file that is refused.
func advise(err error, store string) error {
	var refused *ek.VerificationError
	if !errors.As(err, &refused) {
		return err
	}
	hint := ""
	switch refused.Check {
	case ek.CheckChain, ek.CheckStore:
		hint = "get the issuer's certificate from the TPM's maker, and trust it: keylime_tenant ek trust add FILE"
		if len(refused.IssuerURLs) > 0 {
			hint += "; the EK certificate says that it is at " + refused.IssuerURLs[0]
		}
	case ek.CheckPin, ek.CheckPinList:
		hint = "if this is the right TPM: keylime_tenant ek pin add FILE"
	}
	return &advisedError{Err: err, Advice: hint}
}

// ekVerdict is an EK and what vouches for it.
type ekVerdict struct {
	Trusted bool             `json:"trusted"`
	By      tenant.EKOutcome `json:"vouched_for_by"`
	// Open says what was not checked.
	Open string   `json:"not_checked,omitempty"`
	EK   ekResult `json:"ek"`
}

// Names is the hash of the key.
func (v ekVerdict) Names() []string { return v.EK.Names() }

// Screen says it in a line, and shows what it is about.
func (v ekVerdict) Screen() render.Screen {
	verdict := render.Field{Name: "verdict", Value: "vouched for by " + string(v.By), Tone: render.Good}
	switch v.By {
	case tenant.EKByNobody:
		verdict.Value, verdict.Tone = "nobody vouches for it: require_ek_cert is off, and there is no ek_check_script", render.Bad
	case tenant.EKEmulator:
		verdict.Value, verdict.Tone = "an emulator, let pass in test mode (KEYLIME_TEST)", render.Doubtful
	}
	section := render.Section{Fields: []render.Field{verdict}}
	if v.Open != "" {
		section.Fields = append(section.Fields, render.Field{Name: "not checked", Value: v.Open, Tone: render.Doubtful})
	}
	if c := v.EK.Certificate; c != nil && strings.Contains(string(v.By), "certificate") {
		section.Fields = append(section.Fields, fieldsOf("issuer", c.Issuer, "TPM of", c.Vendor)...)
	}
	section.Fields = append(section.Fields, fieldsOf("sha256 (pin)", v.EK.Hash)...)
	return render.Screen{section}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/payload"
	"github.com/keylime/keylime-tenant/payload/ca"
)

// newCACmd makes the verbs of the certificate authority that --cert uses.
func newCACmd(a *app) *cobra.Command {
	c := &caVerbs{app: a}
	cmd := &cobra.Command{
		Use: "ca", Short: "keep the certificate authority that add --cert uses",
		Long: `Keep the certificate authority whose certificates "add --cert" gives to agents. Its
directory is the one of the Python tool keylime_ca: each reads what the other wrote.

The password of its key store comes from KEYLIME_CA_PASSWORD, or from password in [ca]
of ca.conf; where that is "default", it is asked for on the terminal.`,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(cmd, args[0])
		}
		return cmd.Help()
	}
	cmd.PersistentFlags().StringVarP(&c.dir, "dir", "d", "", "`DIR` of the authority (default: ca in Keylime's directory)")
	cmd.AddCommand(c.initCmd(), c.createCmd(), c.packCmd(), c.revokeCmd(), c.listCmd(), c.renewCmd(), c.importCmd())
	return cmd
}

// caVerbs are the verbs of one call.
type caVerbs struct {
	*app
	dir string
}

// find settles the directory of the authority.
func (c *caVerbs) find(ctx context.Context) error {
	if c.dir != "" && c.dir != "default" {
		return nil
	}
	conf, err := c.config(ctx)
	if err != nil {
		return err
	}
	c.dir = conf.CADir()
	return nil
}

// settings reads [ca] and the password.
func (c *caVerbs) settings(ctx context.Context) (ca.Options, payload.Secret, error) {
	conf, err := config.LoadCA(config.Options{Env: c.env})
	if err != nil {
		return ca.Options{}, payload.Secret{}, configFailure(err)
	}
	password, err := c.caPassword(ctx, conf)
	return caOptions(conf), password, err
}

func (c *caVerbs) open(ctx context.Context) (*ca.CA, error) {
	if err := c.find(ctx); err != nil {
		return nil, err
	}
	if !ca.Exists(c.dir) {
		return nil, &caMissingError{Dir: c.dir}
	}
	options, password, err := c.settings(ctx)
	if err != nil {
		return nil, err
	}
	return c.openCA(c.dir, password, options)
}

// caMissingError: there is no authority where one was named.
type caMissingError struct{ Dir string }

func (e *caMissingError) Error() string { return "no certificate authority in " + e.Dir }
func (e *caMissingError) Unwrap() error { return ca.ErrNoCA }

// HintText says what to do about it.
func (e *caMissingError) HintText() string {
	return programName + " ca init --dir " + e.Dir + " makes one"
}

func (c *caVerbs) initCmd() *cobra.Command {
	var force bool
	cmd := c.command("init", "make a new authority", `Make a new certificate authority: its key and certificate, an empty revocation list and
the key store. Keys and certificates that are in the directory are removed, which takes
--force.`,
		"keylime_tenant ca init --dir ./ca", noArgs, func(ctx context.Context, _ []string) error {
			if err := c.find(ctx); err != nil {
				return err
			}
			if ca.Exists(c.dir) && !force {
				return usagef("%s holds an authority already, and a new one would void its certificates", c.dir).
					hint("add --force to replace it")
			}
			if left, err := ca.Leftovers(c.dir); err != nil || len(left) > 0 && !force {
				return usagef("%s holds %s, which a new authority would remove", c.dir, someOf(left)).
					hint("name another directory, or add --force if they may go")
			}
			options, password, err := c.settings(ctx)
			if err != nil {
				return err
			}
			authority, err := ca.Init(c.dir, password, options)
			if err != nil {
				return fmt.Errorf("making a CA in %s: %w", c.dir, err)
			}
			return c.show(caResult{Dir: authority.Dir(), Certificate: string(authority.CertPEM())})
		})
	cmd.Flags().BoolVar(&force, "force", false, "remove the authority, keys and certificates that are there")
	return cmd
}

func (c *caVerbs) createCmd() *cobra.Command {
	var dns, ips []string
	var passwordFile string
	cmd := c.command("create NAME", "make a certificate", `Make a key and a certificate with NAME as its common name. It serves as a server's and as
a client's certificate. Without --dns and --ip its one DNS name is NAME.`,
		"keylime_tenant ca create web-1 --dns web-1.example.org --ip 10.0.0.7", oneArg("NAME"), func(ctx context.Context, args []string) error {
			options := ca.CreateOptions{DNSNames: dns}
			for _, text := range ips {
				ip := net.ParseIP(text)
				if ip == nil {
					return usagef("--ip %q is not an IP address", text)
				}
				options.IPs = append(options.IPs, ip)
			}
			if passwordFile != "" {
				text, err := c.readFile("--key-password-file", passwordFile)
				if err != nil {
					return err
				}
				options.KeyPassword = payload.NewSecret(firstLine(text))
			}
			authority, err := c.open(ctx)
			if err != nil {
				return err
			}
			one, err := authority.Create(args[0], options)
			if err != nil {
				return fmt.Errorf("certificate: %w", err)
			}
			return c.show(certificateResult(one))
		})
	cmd.Flags().StringSliceVar(&dns, "dns", nil, "DNS `NAME` of the subject (repeatable)")
	cmd.Flags().StringSliceVar(&ips, "ip", nil, "IP `ADDRESS` of the subject (repeatable)")
	cmd.Flags().StringVar(&passwordFile, "key-password-file", "", "encrypt the key's file with the first line of `FILE`")
	return cmd
}

func (c *caVerbs) packCmd() *cobra.Command {
	var insecure bool
	cmd := c.command("pack NAME", "pack a certificate with its key", `Write NAME-pkg.zip with key, certificate, CA certificate and revocation list of NAME.`,
		"", oneArg("NAME"), func(ctx context.Context, args []string) error {
			authority, err := c.open(ctx)
			if err != nil {
				return err
			}
			one, err := authority.Pack(args[0], insecure)
			if err != nil {
				return c.unknown("package", err)
			}
			return c.show(certificateResult(one))
		})
	cmd.Flags().BoolVarP(&insecure, "insecure", "i", false, "put the key in clear into the package, though its own file has a password")
	return cmd
}

func (c *caVerbs) revokeCmd() *cobra.Command {
	var serial bool
	cmd := c.command("revoke NAME", "revoke a certificate", `Put the certificate of NAME on the revocation list, which is written anew.`,
		"keylime_tenant ca revoke web-1\nkeylime_tenant ca revoke --serial 7", oneArg("NAME"), func(ctx context.Context, args []string) error {
			authority, err := c.open(ctx)
			if err != nil {
				return err
			}
			if serial {
				if err := authority.RevokeSerial(args[0]); err != nil {
					return fmt.Errorf("revoking: %w", err)
				}
				return c.show(certificateResult{Serial: args[0], Revoked: true})
			}
			one, err := authority.Revoke(args[0])
			if err != nil {
				return c.unknown("revoking", err)
			}
			return c.show(certificateResult(one))
		})
	cmd.Flags().BoolVar(&serial, "serial", false, "NAME is a serial number: its certificate's file is gone")
	return cmd
}

// unknown says where to find the names, of a certificate that is not there.
func (c *caVerbs) unknown(what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	if !errors.Is(err, ca.ErrNotFound) {
		return err
	}
	return &advisedError{Err: err, Advice: render.Command([]string{programName, "ca", "list", "--dir", c.dir}) +
		" lists the names; ca revoke --serial is for a certificate whose file is gone"}
}

func (c *caVerbs) listCmd() *cobra.Command {
	return c.command("list", "list the certificates", "List the certificates in the directory of the authority.", "", noArgs,
		func(ctx context.Context, _ []string) error {
			authority, err := c.open(ctx)
			if err != nil {
				return err
			}
			list, err := authority.List()
			if err != nil {
				return err
			}
			return c.show(certificateList{Certificates: list, now: c.now()})
		})
}

func (c *caVerbs) renewCmd() *cobra.Command {
	return c.command("renew-crl", "write the revocation list anew", "Write the revocation list anew, with new dates.", "", noArgs,
		func(ctx context.Context, _ []string) error {
			authority, err := c.open(ctx)
			if err != nil {
				return err
			}
			if err := authority.RenewCRL(); err != nil {
				return err
			}
			return c.show(caResult{Dir: authority.Dir()})
		})
}

func (c *caVerbs) importCmd() *cobra.Command {
	var serial string
	cmd := c.command("import-key FILE", "take over the key of an existing authority", `Put the private key in FILE (PEM, without password) into the key store. cacert.crt of that
key must be in the directory.`,
		"keylime_tenant ca import-key ca-private.pem --serial 12", oneArg("FILE"), func(ctx context.Context, args []string) error {
			last, err := strconv.ParseInt(serial, 10, 64)
			if err != nil || last < 0 {
				return usagef("--serial %q is not the last serial number used", serial)
			}
			text, err := c.readFile("private key", args[0])
			if err != nil {
				return err
			}
			options, password, err := c.settings(ctx)
			if err != nil {
				return err
			}
			if err := c.find(ctx); err != nil {
				return err
			}
			if err := ca.ImportKey(c.dir, password, text, last, options); err != nil {
				return fmt.Errorf("importing %s: %w", args[0], err)
			}
			return c.show(caResult{Dir: c.dir})
		})
	cmd.Flags().StringVarP(&serial, "serial", "s", "", "the last serial `NUMBER` that the authority has used (required)")
	return cmd
}

// oneArg wants one argument, which the usage calls name.
func oneArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usagef("%s needs an argument: %s", cmd.Name(), name).hint("%s", helpOf(cmd))
		case 1:
			return nil
		}
		return usagef("%s takes one argument, so what is %q?", cmd.Name(), args[1]).hint("%s", helpOf(cmd))
	}
}

// caOptions are the options for certificates that [ca] of ca.conf gives.
func caOptions(c *config.CA) ca.Options {
	return ca.Options{
		Country: c.Country, Name: c.Name, State: c.State, Locality: c.Locality, Organization: c.Organization, Unit: c.OrgUnit,
		Bits: c.Bits, CALifetime: c.CALifetime, Lifetime: c.Lifetime, CRLURL: c.CRLDist,
	}
}

// firstLine is a text up to its first line break.
func firstLine(text []byte) []byte {
	for i, b := range text {
		if b == '\n' || b == '\r' {
			return text[:i]
		}
	}
	return text
}

// caResult tells of an authority.
type caResult struct {
	Dir         string `json:"dir"`
	Certificate string `json:"certificate,omitempty"`
}

// Screen says where it is.
func (r caResult) Screen() render.Screen {
	return render.Screen{{Fields: []render.Field{{Name: "directory", Value: r.Dir}, {Name: "certificate", Value: r.Dir + string(os.PathSeparator) + ca.FileCACert}}}}
}

// certificateResult tells of one certificate.
type certificateResult ca.Certificate

// Screen shows its fields.
func (r certificateResult) Screen() render.Screen {
	fields := []render.Field{{Name: "name", Value: r.Name}, {Name: "serial", Value: r.Serial}, {Name: "subject", Value: r.Subject}}
	if !r.NotAfter.IsZero() {
		fields = append(fields, render.Field{Name: "valid until", Value: r.NotAfter.UTC().Format(time.RFC3339)})
	}
	state := render.Field{Name: "state", Value: "valid", Tone: render.Good}
	if r.Revoked {
		state = render.Field{Name: "state", Value: "revoked", Tone: render.Bad}
	}
	return render.Screen{{Fields: append(fields, state)}}
}

// certificateList tells of all certificates.
type certificateList struct {
	Certificates []ca.Certificate `json:"certificates"`
	now          time.Time
}

// Names lists the names.
func (l certificateList) Names() []string {
	var names []string
	for _, one := range l.Certificates {
		names = append(names, one.Name)
	}
	return names
}

// Screen shows a row a certificate.
func (l certificateList) Screen() render.Screen {
	t := render.Table{Header: []string{"NAME", "SERIAL", "VALID UNTIL", "STATE"}, Empty: "no certificate has been made yet"}
	for _, one := range l.Certificates {
		state := "valid"
		switch {
		case one.Revoked:
			state = "revoked"
		case l.now.After(one.NotAfter):
			state = "expired"
		}
		t.Rows = append(t.Rows, []string{one.Name, one.Serial, one.NotAfter.UTC().Format(time.DateOnly), state})
	}
	return render.Screen{{Table: &t}}
}

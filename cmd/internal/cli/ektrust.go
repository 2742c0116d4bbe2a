package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

func (e *ekVerbs) trustCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "trust", Short: "the certificates of TPM makers that are trusted",
		Long: `Keep the store of certificates that vouch for EKs (tpm_cert_store). Keylime reads *.pem
there, the first certificate of each file; ek trust add writes them so.`,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return onlyVerbs(cmd, args) }
	cmd.AddCommand(e.trustAddCmd(), e.trustListCmd(), e.trustRemoveCmd())
	return cmd
}

func (e *ekVerbs) trustAddCmd() *cobra.Command {
	var force bool
	cmd := e.command("add FILE|DIR...", "trust a maker's certificates", `Put certificates into the store: from files (PEM with one or more, DER, PKCS#7), or from
all such files in a directory, not below it. Each gets a file of its own, named after
its subject and fingerprint. What cannot vouch for EKs is refused.

Compare the fingerprints with those that the TPM's maker publishes.`,
		`keylime_tenant ek trust add OptigaRsaMfrCA042.crt
keylime_tenant ek trust add ./vendor-certificates/
keylime_tenant ek trust add /var/lib/swtpm-localca/issuercert.pem`,
		atLeastOne("a file or directory"), func(ctx context.Context, args []string) error {
			c, err := e.settings(ctx)
			if err != nil {
				return err
			}
			result := trustAdded{Store: c.TPMCertStore, Rows: []trustRow{}}
			for _, arg := range args {
				files, err := filesOf(arg)
				if err != nil {
					return err
				}
				for _, file := range files {
					rows, err := e.trustFile(c.TPMCertStore, file, force)
					if err != nil {
						return err
					}
					result.Rows = append(result.Rows, rows...)
				}
			}
			if err := e.show(result); err != nil {
				return err
			}
			return result.failure()
		})
	cmd.Flags().BoolVar(&force, "force", false, "add also what may not sign by its own words (ek_check = compat accepts it)")
	return cmd
}

// atLeastOne wants one or more arguments.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s needs %s", cmd.CommandPath(), what).hint("%s", helpOf(cmd))
		}
		return nil
	}
}

// filesOf are the files that an argument means: itself, or the certificates in
// a directory.
func filesOf(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	if arg == "-" || err == nil && !info.IsDir() {
		return []string{arg}, nil
	}
	if err != nil {
		return nil, &inputError{Option: "certificate", Path: arg, Err: err}
	}
	entries, err := os.ReadDir(arg)
	if err != nil {
		return nil, &inputError{Option: "directory", Path: arg, Err: err}
	}
	var files []string
	for _, entry := range entries {
		switch strings.ToLower(filepath.Ext(entry.Name())) {
		case ".pem", ".crt", ".cer", ".der", ".p7b", ".p7c":
			files = append(files, filepath.Join(arg, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, usagef("%s holds no file named *.pem, *.crt, *.cer, *.der, *.p7b or *.p7c", arg)
	}
	return files, nil
}

// trustFile puts the certificates of one file into the store. The error is one
// of the store; what is wrong with the file is in its row.
func (e *ekVerbs) trustFile(store, file string, force bool) ([]trustRow, error) {
	data, err := e.readFile("certificate", file)
	var certs []*ek.Certificate
	if err == nil {
		certs, err = ek.ReadCertificates(data)
	}
	if err != nil {
		return []trustRow{{File: file, State: trustRefused, Reason: err.Error()}}, nil
	}
	var rows []trustRow
	for _, c := range certs {
		row := trustRow{File: file, Subject: c.Subject, Fingerprint: c.Fingerprint(), NotAfter: c.NotAfter.UTC()}
		if err := ek.CheckAuthority(c); err != nil && !force {
			row.State, row.Reason = trustRefused, err.Error()
			if errors.Is(err, ek.ErrIsEK) {
				row.Reason += "; to allow this one TPM: keylime_tenant ek pin add " + file
			}
			rows = append(rows, row)
			continue
		}
		path, known, err := ek.AddTrust(store, c)
		if err != nil {
			return rows, err
		}
		row.Path, row.State = path, trustAdd
		if known {
			row.State = trustKnown
		}
		if err := c.ValidAt(e.now()); err != nil {
			row.Reason = "it " + err.Error() + ", so that a strict check refuses what it has signed"
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// What became of a certificate.
const (
	trustAdd     = "added"
	trustKnown   = "already there"
	trustRefused = "refused"
	trustRemoved = "removed"
)

// trustRow is what became of one certificate.
type trustRow struct {
	File        string    `json:"file,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	Fingerprint string    `json:"fingerprint_sha256,omitempty"`
	NotAfter    time.Time `json:"not_after,omitzero"`
	State       string    `json:"state"`
	// Path is the file in the store.
	Path   string `json:"path,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// trustAdded is the outcome of adding.
type trustAdded struct {
	Store string     `json:"store"`
	Rows  []trustRow `json:"certificates"`
}

// failure is the error of a run in which something was refused.
func (r trustAdded) failure() error {
	refused := 0
	for _, row := range r.Rows {
		if row.State == trustRefused {
			refused++
		}
	}
	switch {
	case refused == 0:
		return nil
	case refused < len(r.Rows):
		return fmt.Errorf("%w: %s refused", tenant.ErrPartial, counted(refused, "certificate"))
	}
	return usagef("nothing was added to %s", r.Store)
}

// Names are the files in the store.
func (r trustAdded) Names() []string {
	var names []string
	for _, row := range r.Rows {
		if row.Path != "" {
			names = append(names, row.Path)
		}
	}
	return names
}

// Screen shows a block a certificate.
func (r trustAdded) Screen() render.Screen {
	var screen render.Screen
	for _, row := range r.Rows {
		tone := render.Good
		if row.State == trustRefused {
			tone = render.Bad
		}
		title := row.Subject
		if title == "" {
			title = row.File
		}
		section := render.Section{Title: render.Safe(title), Fields: []render.Field{{Name: "state", Value: row.State, Tone: tone}}}
		if row.Reason != "" {
			section.Fields = append(section.Fields, render.Field{Name: "because", Value: render.Safe(row.Reason)})
			if row.State != trustRefused {
				section.Fields[len(section.Fields)-1] = render.Field{Name: "but", Value: render.Safe(row.Reason), Tone: render.Doubtful}
			}
		}
		section.Fields = append(section.Fields, fieldsOf("from", row.File, "to", row.Path)...)
		if row.Fingerprint != "" {
			section.Fields = append(section.Fields, fieldsOf("valid until", until(row.NotAfter), "fingerprint", "sha256 "+row.Fingerprint)...)
		}
		screen = append(screen, section)
	}
	return screen
}

func (e *ekVerbs) trustListCmd() *cobra.Command {
	return e.command("list", "list the certificates that are trusted", `List the certificates of the store: who they are, how long they are valid, and what is
wrong with files that are not used.`,
		"keylime_tenant ek trust list\nkeylime_tenant ek trust list -o json", noArgs, func(ctx context.Context, _ []string) error {
			c, err := e.settings(ctx)
			if err != nil {
				return err
			}
			store, err := ek.LoadStore(c.TPMCertStore)
			if err != nil {
				return &advisedError{Err: err, Advice: "keylime_tenant ek trust add FILE makes it"}
			}
			return e.show(newTrustList(store, e.now()))
		})
}

// trustList are the certificates of a store.
type trustList struct {
	Store  string         `json:"store"`
	Rows   []trustListRow `json:"certificates"`
	Unused []unusedFile   `json:"unused"`
}

type trustListRow struct {
	File  string `json:"file"`
	State string `json:"state"`
	*certificateFacts
}

type unusedFile struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

func newTrustList(store *ek.Store, now time.Time) trustList {
	l := trustList{Store: store.Dir(), Rows: []trustListRow{}, Unused: []unusedFile{}}
	for _, a := range store.Anchors() {
		row := trustListRow{File: filepath.Base(a.Path), State: "good", certificateFacts: factsOf(a.Certificate, now)}
		switch {
		case now.Before(a.Certificate.NotBefore):
			row.State = "not yet valid"
		case !row.Valid:
			row.State = "expired"
		case ek.CheckAuthority(a.Certificate) != nil:
			row.State = "may not sign"
		case a.Certificate.NotAfter.Sub(now) < 30*24*time.Hour:
			row.State = "expires soon"
		}
		l.Rows = append(l.Rows, row)
	}
	for _, s := range store.Skipped() {
		l.Unused = append(l.Unused, unusedFile{filepath.Base(s.Path), s.Err.Error()})
	}
	return l
}

// Names are the fingerprints.
func (l trustList) Names() []string {
	var names []string
	for _, row := range l.Rows {
		names = append(names, row.Fingerprint)
	}
	return names
}

// Screen shows a row a certificate, and the files that are not used.
func (l trustList) Screen() render.Screen {
	t := render.Table{Header: []string{"SUBJECT", "UNTIL", "STATE", "FINGERPRINT", "FILE"}, Empty: "the store " + l.Store + " holds no certificate: keylime_tenant ek trust add FILE"}
	for _, row := range l.Rows {
		t.Rows = append(t.Rows, []string{render.Safe(row.Subject), until(row.NotAfter), row.State, row.Fingerprint[:16], render.Safe(row.File)})
	}
	screen := render.Screen{{Table: &t}}
	if len(l.Unused) > 0 {
		unused := render.Section{Title: "not used"}
		for _, u := range l.Unused {
			unused.Fields = append(unused.Fields, render.Field{Name: render.Safe(u.File), Value: render.Safe(u.Reason), Tone: render.Doubtful})
		}
		screen = append(screen, unused)
	}
	return screen
}

func (e *ekVerbs) trustRemoveCmd() *cobra.Command {
	cmd := e.command("remove WHICH", "no longer trust a certificate", `Take a certificate out of the store. WHICH is the name of its file, the first digits (at
least 8) of its fingerprint, its subject, or its common name. Agents that are attested
already are not affected.`,
		"keylime_tenant ek trust remove 3f9a1c2b\nkeylime_tenant ek trust remove 'swtpm-localca'", oneArg("WHICH"), func(ctx context.Context, args []string) error {
			c, err := e.settings(ctx)
			if err != nil {
				return err
			}
			gone, err := ek.RemoveTrust(c.TPMCertStore, args[0])
			if errors.Is(err, os.ErrNotExist) {
				return &missingError{Err: err, Advice: "keylime_tenant ek trust list"}
			}
			if err != nil {
				return err
			}
			return e.show(trustAdded{Store: c.TPMCertStore, Rows: []trustRow{{Subject: gone.Certificate.Subject, State: trustRemoved,
				File: gone.Path, Fingerprint: gone.Certificate.Fingerprint(), NotAfter: gone.Certificate.NotAfter.UTC()}}})
		})
	cmd.ValidArgsFunction = e.completer(func(ctx context.Context) ([]string, error) {
		c, err := e.settings(ctx)
		if err != nil {
			return nil, err
		}
		store, err := ek.LoadStore(c.TPMCertStore)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, a := range store.Anchors() {
			names = append(names, filepath.Base(a.Path))
		}
		return names, nil
	})
	return cmd
}

// missingError: something that was named is not there.
type missingError struct {
	Err    error
	Advice string
}

func (e *missingError) Error() string   { return e.Err.Error() }
func (e *missingError) Unwrap() []error { return []error{tenant.ErrNotFound, e.Err} }

// HintText makes the advice known to package render.
func (e *missingError) HintText() string { return e.Advice }

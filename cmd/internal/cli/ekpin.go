package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

func (e *ekVerbs) pinCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pin", Short: "the list of single EKs that are allowed",
		Long: `Keep the list of pinned EKs: TPMs that are allowed one by one, with or without a
certificate, each for any agent or for one. An id that is named in the list must have an
EK that is named with it, so that no other TPM takes the id over.

The list counts where ek_require is pin, both or either.`,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return onlyVerbs(cmd, args) }
	cmd.AddCommand(e.pinAddCmd(), e.pinListCmd(), e.pinRemoveCmd())
	return cmd
}

func (e *ekVerbs) pinAddCmd() *cobra.Command {
	var agent, note string
	var anyAgent bool
	cmd := e.command("add ID|FILE|HASH", "allow an EK", `Pin an endorsement key: that of a registered agent (for this agent alone, unless
--any-agent), that of a file (see ek show), or a SHA-256 in hex.

With ID the key is the one that the registrar holds now: whoever registered first. Pin
what you have taken from the machine itself where that matters:

  tpm2_createek -c - -G rsa -u ek.pub      on the machine (-G ecc for an ECC key)
  keylime_tenant ek pin add ek.pub --agent ID`,
		`keylime_tenant ek pin add d432fbb3-d2f1-4a97-9ef7-75bd81c00000 --note 'rack 7'
keylime_tenant ek pin add ek.pub --agent web-1
keylime_tenant ek pin add 9c0d1e...`,
		oneArg("ID, FILE or HASH"), func(ctx context.Context, args []string) error {
			if agent != "" {
				if anyAgent {
					return usagef("--agent and --any-agent contradict each other")
				}
				if err := tenant.CheckAgentID(agent); err != nil {
					return err
				}
			}
			if strings.ContainsFunc(note, unicode.IsControl) {
				return usagef("--note: a note is one line of plain text")
			}
			c, err := e.settings(ctx)
			if err != nil {
				return err
			}
			result, err := e.newPin(ctx, c, args[0])
			if err != nil {
				return err
			}
			switch {
			case anyAgent:
				result.Pin.AgentID = ""
			case agent != "":
				result.Pin.AgentID = agent
			}
			if note != "" {
				result.Pin.Note = note
			}
			err = ek.EditPins(c.PinPath(), func(p *ek.Pins) (err error) {
				result.Added, err = p.Add(ek.Pin{Hash: result.Pin.Hash, AgentID: result.Pin.AgentID, Note: result.Pin.Note})
				for _, row := range rowsOf(p.List()) {
					if row.Hash == result.Pin.Hash && row.AgentID == result.Pin.AgentID {
						result.Pin = row // with its line, and its old note if it was there
					}
				}
				return err
			})
			if err != nil {
				return err
			}
			if c.EKRequire == "chain" {
				e.present().Event(tenant.Warning{Kind: warnConfig, Object: "ek_require", Text: "pins do not count yet: ek_require is chain",
					Hint: "set ek_require = both (or pin, or either) in tenant.conf, or give add --ek-require"})
			}
			return e.show(result)
		})
	cmd.Flags().StringVar(&agent, "agent", "", "for the agent of this `ID` alone")
	cmd.Flags().BoolVar(&anyAgent, "any-agent", false, "for any agent")
	cmd.Flags().StringVar(&note, "note", "", "`TEXT` to write beside it")
	cmd.ValidArgsFunction = e.completeSource
	return cmd
}

// newPin makes a pin of what the command line names.
func (e *ekVerbs) newPin(ctx context.Context, c *config.Config, arg string) (pinResult, error) {
	result := pinResult{File: c.PinPath()}
	if hash, err := ek.ParseHash(arg); err == nil {
		result.Pin.Hash = hash
		return result, nil
	}
	source, err := e.source(ctx, arg)
	if err != nil {
		return result, err
	}
	public, err := source.key()
	if err != nil {
		return result, err
	}
	result.Pin.Hash, result.Algorithm = public.KeyHash(), public.Algorithm()
	if source.agent == nil {
		result.Pin.Note = "from " + filepath.Base(arg)
		return result, nil
	}
	result.Pin.AgentID = source.agent.ID
	result.Pin.Note = "from the registrar " + e.now().UTC().Format(time.DateOnly)
	result.Vouched = e.vouched(c, source)
	if source.agent.RegCount > 1 {
		e.present().Event(tenant.Warning{Kind: tenant.WarnRegCount, ID: source.agent.ID,
			Text: fmt.Sprintf("agent %s has been registered %d times: be sure that this is the right TPM", source.agent.ID, source.agent.RegCount),
			Hint: "compare with the machine's own: tpm2_createek -c - -G rsa -u ek.pub, then keylime_tenant ek show ek.pub"})
	}
	return result, nil
}

// vouched says in words what the agent's certificate is worth.
func (e *ekVerbs) vouched(c *config.Config, s *ekSource) string {
	if s.certificate == nil {
		return "no certificate: the registrar's word alone"
	}
	store, err := ek.LoadStore(c.TPMCertStore)
	if err == nil {
		tpm, decodeErr := base64.StdEncoding.DecodeString(s.agent.EKTPM)
		if err = decodeErr; err == nil {
			_, err = store.Verify(s.certificate.Raw, tpm, ek.Options{Now: e.now(), Compat: c.EKCompat})
		}
	}
	if err != nil {
		return "its certificate does not count: " + render.Safe(err.Error())
	}
	return "its certificate is good, issued by " + s.certificate.Issuer
}

// pinResult is a pin that was added, or was there.
type pinResult struct {
	File  string `json:"file"`
	Added bool   `json:"added"`
	Pin   pinRow `json:"pin"`
	// Algorithm is the kind of the key, Vouched what else vouches for it.
	Algorithm string `json:"algorithm,omitempty"`
	Vouched   string `json:"certificate,omitempty"`
}

// pinRow is a line of the list.
type pinRow struct {
	Hash    string `json:"sha256"`
	AgentID string `json:"agent_id,omitempty"`
	Note    string `json:"note,omitempty"`
	Line    int    `json:"line,omitempty"`
}

func rowsOf(pins []ek.Pin) []pinRow {
	rows := make([]pinRow, 0, len(pins))
	for _, p := range pins {
		rows = append(rows, pinRow{p.Hash, p.AgentID, p.Note, p.Line})
	}
	return rows
}

func (r pinRow) who() string {
	if r.AgentID == "" {
		return "any agent"
	}
	return render.Safe(r.AgentID)
}

// Names is the hash.
func (r pinResult) Names() []string { return []string{r.Pin.Hash} }

// Screen shows the pin.
func (r pinResult) Screen() render.Screen {
	state := render.Field{Name: "state", Value: "pinned", Tone: render.Good}
	if !r.Added {
		state = render.Field{Name: "state", Value: "was pinned already"}
	}
	fields := append([]render.Field{state}, fieldsOf("sha256", r.Pin.Hash, "for", r.Pin.who(), "algorithm", r.Algorithm, "certificate", r.Vouched, "note", r.Pin.Note, "list", r.File)...)
	return render.Screen{{Fields: fields}}
}

func (e *ekVerbs) pinListCmd() *cobra.Command {
	return e.command("list", "list the EKs that are pinned", "List the pinned EKs.", "", noArgs, func(ctx context.Context, _ []string) error {
		c, err := e.settings(ctx)
		if err != nil {
			return err
		}
		pins, err := ek.LoadPins(c.PinPath())
		if err != nil {
			return &advisedError{Err: err, Advice: "keylime_tenant ek pin add ID"}
		}
		return e.show(pinList{File: pins.Path(), Pins: rowsOf(pins.List())})
	})
}

// pinList are the pins of a list.
type pinList struct {
	File string   `json:"file"`
	Pins []pinRow `json:"pins"`
	gone bool
}

// Names are the hashes.
func (l pinList) Names() []string {
	var names []string
	for _, p := range l.Pins {
		names = append(names, p.Hash)
	}
	return names
}

// Screen shows a row a pin.
func (l pinList) Screen() render.Screen {
	t := render.Table{Header: []string{"LINE", "SHA256", "FOR", "NOTE"}, Empty: "no EK is pinned in " + l.File}
	if l.gone {
		t.Header[0] = "REMOVED"
	}
	for _, p := range l.Pins {
		note := render.Safe(p.Note)
		if note == "" {
			note = "-"
		}
		t.Rows = append(t.Rows, []string{strconv.Itoa(p.Line), p.Hash, p.who(), note})
	}
	return render.Screen{{Table: &t}}
}

func (e *ekVerbs) pinRemoveCmd() *cobra.Command {
	cmd := e.command("remove ID|HASH", "no longer allow an EK", `Take pins out of the list: all of an agent, or all of a hash, of which the first 8
digits are enough. Agents that are attested already are not affected.`,
		"keylime_tenant ek pin remove web-1\nkeylime_tenant ek pin remove 3f9a1c2b", oneArg("ID or HASH"), func(ctx context.Context, args []string) error {
			c, err := e.settings(ctx)
			if err != nil {
				return err
			}
			var gone []ek.Pin
			err = ek.EditPins(c.PinPath(), func(p *ek.Pins) (err error) {
				gone, err = p.Remove(args[0])
				if err != nil {
					return &missingError{Err: err, Advice: "keylime_tenant ek pin list"}
				}
				return nil
			})
			if err != nil {
				return err
			}
			return e.show(pinList{File: c.PinPath(), Pins: rowsOf(gone), gone: true})
		})
	cmd.ValidArgsFunction = e.completer(func(ctx context.Context) ([]string, error) {
		c, err := e.settings(ctx)
		if err != nil {
			return nil, err
		}
		pins, err := ek.LoadPins(c.PinPath())
		if err != nil {
			return nil, err
		}
		return pinList{Pins: rowsOf(pins.List())}.Names(), nil
	})
	return cmd
}

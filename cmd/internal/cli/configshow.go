package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
	"github.com/keylime/keylime-tenant/cmd/internal/render"
)

func newConfigCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "the configuration, where each value comes from, and upgrades",
		Long:                  "See the configuration as it holds for a call.\n\nkeylime_tenant help configuration says where values come from, and which wins.",
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	show := a.command("show [OPTION]...", "every value, and where it came from", `Show every option, its value, and where the value came from: a default, a line of a
file, a variable of the environment, or the command line. Passwords are not shown.`,
		"keylime_tenant config show\nkeylime_tenant config show verifier_ip request_timeout\nkeylime_tenant config show -o json",
		cobra.ArbitraryArgs, func(ctx context.Context, args []string) error {
			c, err := a.config(ctx)
			if err != nil {
				return err
			}
			result, err := newConfigResult(c.Settings(), args)
			if err != nil {
				return err
			}
			return a.show(result)
		})
	show.ValidArgsFunction = a.completer(func(ctx context.Context) ([]string, error) {
		c, err := a.config(ctx)
		if err != nil {
			return nil, err
		}
		return configResult{Settings: settingRows(c.Settings())}.Names(), nil
	})
	cmd.AddCommand(show, newConfigUpgradeCmd(a))
	return cmd
}

// configResult is what config show shows.
type configResult struct {
	Settings []settingRow `json:"settings"`
}

// settingRow is an option with its value and origin.
type settingRow struct {
	Section string `json:"section"`
	Option  string `json:"option"`
	Value   string `json:"value"`
	// Origin says in words where the value came from.
	Origin string `json:"origin"`
	About  string `json:"about,omitempty"`
}

func settingRows(settings []config.Setting) []settingRow {
	rows := make([]settingRow, 0, len(settings))
	for _, s := range settings {
		rows = append(rows, settingRow{s.Section, s.Option, s.Value, s.Origin.String(), s.Doc})
	}
	return rows
}

// newConfigResult keeps the options named, or all if none is.
func newConfigResult(settings []config.Setting, names []string) (configResult, error) {
	rows := settingRows(settings)
	if len(names) == 0 {
		return configResult{rows}, nil
	}
	var kept []settingRow
	for _, name := range names {
		found := false
		for _, row := range rows {
			if row.Option == strings.ToLower(strings.ReplaceAll(name, "-", "_")) {
				kept, found = append(kept, row), true
			}
		}
		if !found {
			u := usagef("there is no option %q in tenant.conf", name)
			if near := nearest(name, configResult{rows}.Names()); near != "" {
				return configResult{}, u.hint("did you mean %s?", near)
			}
			return configResult{}, u.hint("keylime_tenant config show lists all options")
		}
	}
	return configResult{kept}, nil
}

// Screen is the table of options.
func (r configResult) Screen() render.Screen {
	table := render.Table{Header: []string{"OPTION", "VALUE", "FROM"}}
	for _, row := range r.Settings {
		value := row.Value
		if value == "" {
			value = "-"
		}
		table.Rows = append(table.Rows, []string{row.Option, render.Safe(value), row.Origin})
	}
	return render.Screen{{Table: &table}}
}

// Names are the names of the options.
func (r configResult) Names() []string {
	names := make([]string, 0, len(r.Settings))
	for _, row := range r.Settings {
		names = append(names, row.Option)
	}
	return names
}

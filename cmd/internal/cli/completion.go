package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// shell is a shell that completions can be written for.
type shell struct {
	name string
	// file is the name its completion has in the directory completions.
	file string
	// where says how a user switches it on.
	where string
	write func(root *cobra.Command, w io.Writer) error
}

func shells() []shell {
	return []shell{
		{"bash", "keylime_tenant.bash", "source <(keylime_tenant completion bash)", writeBash},
		{"zsh", "_keylime_tenant", `keylime_tenant completion zsh > "${fpath[1]}/_keylime_tenant"`,
			func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) }},
		{"fish", "keylime_tenant.fish", "keylime_tenant completion fish > ~/.config/fish/completions/keylime_tenant.fish",
			func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }},
		{"powershell", "keylime_tenant.ps1", "keylime_tenant completion powershell | Out-String | Invoke-Expression",
			func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) }},
	}
}

func newCompletionCmd(a *app) *cobra.Command {
	var all string
	example, names := "", []string{}
	for _, s := range shells() {
		example += s.where + "\n"
		names = append(names, s.name)
	}
	cmd := a.command("completion bash|zsh|fish|powershell", "completion for your shell",
		"Print the completion script of a shell. It completes verbs, options and the ids of\nagents, which it asks the servers for.",
		example, cobra.ArbitraryArgs, nil)
	cmd.ValidArgs = names
	cmd.Flags().StringVar(&all, "all", "", "write the scripts of all shells into `DIR`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.verb = cmd.Name()
		if all != "" {
			if len(args) > 0 {
				return usagef("--all writes the scripts of all shells, so what is %q?", args[0]).hint("%s", helpOf(cmd))
			}
			return writeCompletions(cmd.Root(), all)
		}
		if len(args) != 1 {
			return usagef("completion needs the name of one shell").hint("bash, zsh, fish or powershell")
		}
		for _, s := range shells() {
			if s.name == args[0] {
				return s.write(cmd.Root(), a.out())
			}
		}
		return usagef("there is no completion for %q", args[0]).hint("bash, zsh, fish or powershell")
	}
	return cmd
}

// writeCompletions writes a file for each shell; files that are right already
// are left alone.
func writeCompletions(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("directory for completions: %w", err)
	}
	for _, s := range shells() {
		var b bytes.Buffer
		if err := s.write(root, &b); err != nil {
			return fmt.Errorf("completion for %s: %w", s.name, err)
		}
		path := filepath.Join(dir, s.file)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b.Bytes()) {
			continue
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("completion for %s: %w", s.name, err)
		}
	}
	return nil
}

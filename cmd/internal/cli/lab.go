package cli

import (
	"github.com/spf13/cobra"
)

// newLabCmd makes the verb lab and what is below it.
func newLabCmd(a *app) *cobra.Command {
	return &cobra.Command{Use: "lab", Short: "a whole Keylime on this machine, for learning, demos and tests"}
}

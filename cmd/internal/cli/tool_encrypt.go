package cli

import (
	"context"
	"fmt"
	"os"
)

const encryptProgram = "keylime_userdata_encrypt"

// encryptTool is keylime_userdata_encrypt as the Python package has it
// (TENANT-CLI.md C.3), but for the mode of its files: 0600.
func encryptTool(_ context.Context, a *app, args []string) int {
	const keys, out = "content_keys.txt", "content_payload.txt"
	if len(args) < 1 {
		fmt.Fprintln(a.out(), "Please pass in a file input file to encrypt")
		return exitOldUsage
	}
	content, err := os.ReadFile(args[0])
	if err != nil {
		fmt.Fprintf(a.out(), "ERROR: File %%s not found. %s\nPlease pass in a file input file to encrypt\n", args[0])
		return exitOldUsage
	}
	fmt.Fprintf(a.out(), "Writing keys to %s\n", keys)
	fmt.Fprintf(a.out(), "Writing encrypted data to %s\n", out)
	if err := a.encrypt(content, keys, out); err != nil {
		fmt.Fprintln(a.errOut(), err)
		return exitFailure
	}
	return exitOK
}

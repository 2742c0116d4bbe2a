// Command keylime_tenant puts machines under remote attestation with Keylime.
package main

import (
	"context"
	"os"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args, os.Environ(), cli.SystemStreams()))
}

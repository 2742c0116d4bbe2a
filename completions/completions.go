// Package completions holds the completion scripts of the shells, which
// `make generate` writes and `make install` puts where shells look for them.
package completions

import "embed"

// Files are the generated scripts: keylime_tenant.bash, _keylime_tenant (zsh),
// keylime_tenant.fish and keylime_tenant.ps1 (PowerShell).
//
//go:embed keylime_tenant.bash _keylime_tenant keylime_tenant.fish keylime_tenant.ps1
var Files embed.FS

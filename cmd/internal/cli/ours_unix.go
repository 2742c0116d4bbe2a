//go:build unix

package cli

import (
	"io/fs"
	"os"
)

// ours says whether a file belongs to the user that we act as.
func ours(info fs.FileInfo) bool {
	return owner(info) == os.Geteuid()
}

//go:build unix

package cli

import (
	"io/fs"
	"os"
	"syscall"
)

// ours says whether a file belongs to the user that we act as.
func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

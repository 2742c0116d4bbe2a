package source

import "syscall"

// fileSystem is the type of the file system that a path lies on (statfs(2),
// f_type), 0 if it cannot be told.
func fileSystem(path string) uint64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0
	}
	return uint64(st.Type)
}

package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// rights are who may do what with a file, as far as the system tells.
type rights struct {
	mode fs.FileMode
	// known is false on systems without the modes of Unix; ownerKnown likewise.
	known, ownerKnown bool
	uid               int
}

// rightsOf asks the system about a file, links followed.
func rightsOf(path string) (rights, error) {
	info, err := os.Stat(path)
	if err != nil {
		return rights{}, err
	}
	r := rights{mode: info.Mode(), known: runtime.GOOS != "windows"}
	r.uid, r.ownerKnown = ownerOf(info)
	return r, nil
}

// The rights of users who are neither owner nor in the group of a file.
const (
	othersRead  fs.FileMode = 0o004
	othersWrite fs.FileMode = 0o002
)

// writableByAll says whether everybody may change a file, or what is in a
// directory. In a directory with the sticky bit nobody changes others' files.
func (r rights) writableByAll() bool {
	return r.known && r.mode&othersWrite != 0 && !(r.mode.IsDir() && r.mode&fs.ModeSticky != 0)
}

func (r rights) octal() string { return fmt.Sprintf("mode %04o", r.mode.Perm()) }

// onlyOwnerChanges checks that nobody but the owner (and the group) may change
// a file or directory, or put another in its place.
func (h *Hop) onlyOwnerChanges(check Check, what, path, why string) {
	for _, p := range []string{path, filepath.Dir(path)} {
		r, err := rightsOf(p)
		if err != nil {
			return // the check that reads the file has said so
		}
		if !r.known {
			h.skip(check, ClassConfiguration, "%s %s: this system does not tell who may change it", what, safe(p))
			return
		}
		if !r.writableByAll() {
			continue
		}
		seen := fmt.Sprintf("everybody may change the %s %s (%s)", what, safe(p), r.octal())
		if p != path {
			seen = fmt.Sprintf("everybody may replace the %s %s: its directory is open to all (%s)", what, safe(path), r.octal())
		}
		h.add(Finding{Check: check, Level: Problem, Class: ClassConfiguration, Seen: seen, Why: why,
			Fix: "take the right to write from others", Command: "chmod o-w " + word(p)})
		return
	}
	h.ok(check, ClassConfiguration, "%s %s: only its owner and group may change it", what, safe(path))
}

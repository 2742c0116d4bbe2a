package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	// rememberFor is how long names of a server are good for completion; that a
	// server did not answer is remembered as long, so that not every TAB waits.
	rememberFor = 5 * time.Second
	// rememberSize limits what is read, in bytes.
	rememberSize = 16 << 20
)

// remembered is a list of names in the user's cache.
type remembered struct {
	At    time.Time `json:"at"`
	Names []string  `json:"names"`
}

// remember asks a server for names, or takes them from the cache of the user
// if they were asked for some seconds ago. what says which names of which server;
// names that a shell could stumble over are left out, the others sorted. Without a cache directory
// the server is asked each time.
func (a *app) remember(ctx context.Context, what string, ask func(context.Context) ([]string, error)) ([]string, error) {
	path := a.cachePath(what)
	if kept, fresh := readRemembered(path, a.now()); fresh {
		return kept, nil
	}
	names, err := ask(ctx)
	var plain []string
	for _, name := range names {
		if name != "" && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
			plain = append(plain, name)
		}
	}
	slices.Sort(plain)
	writeRemembered(path, remembered{At: a.now(), Names: plain})
	return plain, err
}

// cachePath is the file for names, "" where there is no place for one.
func (a *app) cachePath(what string) string {
	home := ""
	switch runtime.GOOS {
	case "windows":
		home, _ = a.getenv("LocalAppData")
	case "darwin":
		if home, _ = a.getenv("HOME"); home != "" {
			home = filepath.Join(home, "Library", "Caches")
		}
	default:
		if home, _ = a.getenv("XDG_CACHE_HOME"); home == "" {
			if dir, _ := a.getenv("HOME"); dir != "" {
				home = filepath.Join(dir, ".cache")
			}
		}
	}
	// A home directory that does not exist is not made.
	if _, err := os.Stat(filepath.Dir(home)); home == "" || !filepath.IsAbs(home) || err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(what))
	return filepath.Join(home, programName, "complete-"+hex.EncodeToString(sum[:8])+".json")
}

// readRemembered reads names that are still good.
func readRemembered(path string, now time.Time) (names []string, fresh bool) {
	if path == "" {
		return nil, false
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > rememberSize {
		return nil, false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	var r remembered
	if json.Unmarshal(text, &r) != nil {
		return nil, false
	}
	age := now.Sub(r.At)
	return r.Names, age >= 0 && age < rememberFor
}

// writeRemembered writes names for the next TAB, for this user alone. That it
// fails is no matter.
func writeRemembered(path string, r remembered) {
	text, err := json.Marshal(r)
	if path == "" || err != nil || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".complete-*") // 0600
	if err != nil {
		return
	}
	_, err = f.Write(text)
	if closeErr := f.Close(); err != nil || closeErr != nil || os.Rename(f.Name(), path) != nil {
		_ = os.Remove(f.Name())
	}
}

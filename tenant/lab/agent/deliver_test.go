package agent

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive makes a zip archive of entries.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		header.SetMode(e.mode)
		f, err := w.CreateHeader(header)
		if err == nil {
			_, err = f.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type entry struct {
	name, text string
	mode       fs.FileMode
}

func TestExtract(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := archive(t, entry{"autorun.sh", "#!/bin/sh\n", 0o755}, entry{"sub/", "", fs.ModeDir | 0o755}, entry{"sub/deep/file", "text", 0o644})
	if err := extract(data, dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		text string
		mode fs.FileMode
	}{"autorun.sh": {"#!/bin/sh\n", 0o700}, "sub/deep/file": {"text", 0o600}} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != want.text {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want.mode {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestExtractRefuses(t *testing.T) {
	t.Parallel()
	bomb := strings.Repeat("0", 100_000)
	many := make([]entry, maxFiles+1)
	for i := range many {
		many[i] = entry{name: "same", mode: 0o600}
	}
	for name, c := range map[string]struct {
		data  []byte
		cause string
	}{
		"no zip":            {[]byte("plain text"), "not a valid zip"},
		"upwards":           {archive(t, entry{"good", "x", 0o600}, entry{"../evil", "x", 0o600}), "leads out"},
		"upwards inside":    {archive(t, entry{"a/../../evil", "x", 0o600}), "leads out"},
		"absolute":          {archive(t, entry{"/evil", "x", 0o600}), "leads out"},
		"backslash":         {archive(t, entry{`..\evil`, "x", 0o600}), "leads out"},
		"symbolic link":     {archive(t, entry{"link", "/etc", fs.ModeSymlink | 0o777}), "neither a file nor a directory"},
		"too large":         {archive(t, entry{"zeros", bomb, 0o600}), "secure_size"},
		"too large as sum":  {archive(t, entry{"a", bomb[:40_000], 0o600}, entry{"b", bomb[:40_000], 0o600}), "secure_size"},
		"too many":          {archive(t, many...), "entries"},
		"file as directory": {archive(t, entry{"a", "x", 0o600}, entry{"a/b", "x", 0o600}), "a/b"},
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "unzipped")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		err := extract(c.data, dir, 50_000)
		if err == nil || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(filepath.Join(parent, "evil")); !os.IsNotExist(err) {
			t.Errorf("%s: a file was written outside", name)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(archive(f, entry{"autorun.sh", "#!/bin/sh\n", 0o755}, entry{"sub/file", "x", 0o644}))
	f.Add(archive(f, entry{"../evil", "x", 0o600}))
	f.Add(archive(f, entry{"link", "/etc", fs.ModeSymlink | 0o777}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "unzipped")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_ = extract(data, dir, 1<<16)
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
			t.Errorf("%d entries outside, %v", len(entries)-1, err)
		}
	})
}

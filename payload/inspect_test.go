package payload

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func zipOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for n := 0; n+1 < len(files); n += 2 {
		f, err := w.Create(files[n])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[n+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestInspect(t *testing.T) {
	t.Parallel()
	big := zipOf(t, "autorun.sh", "#!/bin/sh\n", "big", strings.Repeat("x", SecureSize+1))
	for name, test := range map[string]struct {
		content []byte
		limit   int
		zip     bool
		script  bool
		warning string // "" wants none
	}{
		"good":             {zipOf(t, "autorun.sh", "#!/bin/sh\ntrue\n"), 0, true, true, ""},
		"one file":         {[]byte("a secret"), 0, false, false, ""},
		"empty":            {nil, 0, false, false, "it is empty"},
		"too large":        {[]byte("0123456789"), 10, false, false, "max_payload_size allows 10"},
		"script":           {[]byte("#!/bin/sh\n"), 0, false, false, "does not run it"},
		"broken zip":       {[]byte("PK\x03\x04garbage"), 0, false, false, "begins like a zip"},
		"no script":        {zipOf(t, "file", "x"), 0, true, false, "no autorun.sh"},
		"script too deep":  {zipOf(t, "d/autorun.sh", "#!/bin/sh\n"), 0, true, false, "no autorun.sh"},
		"windows":          {zipOf(t, "autorun.sh", "#!/bin/sh\r\ntrue\r\n"), 0, true, true, "line endings"},
		"no interpreter":   {zipOf(t, "autorun.sh", "true\n"), 0, true, true, "run by sh"},
		"empty script":     {zipOf(t, "autorun.sh", ""), 0, true, true, "is empty"},
		"outside":          {zipOf(t, "autorun.sh", "#!/bin/sh\n", "../x", "y"), 0, true, true, "outside"},
		"too big unpacked": {big, 0, true, true, "secure_size"},
	} {
		i := Inspect(test.content, test.limit)
		if i.Zip != test.zip || i.Script != test.script {
			t.Errorf("%s: zip %v, script %v", name, i.Zip, i.Script)
		}
		text := strings.Join(i.Warnings, "\n")
		if test.warning == "" && text != "" || !strings.Contains(text, test.warning) {
			t.Errorf("%s: warned %q, want %q", name, text, test.warning)
		}
	}
}

func TestSealedSize(t *testing.T) {
	t.Parallel()
	keys, err := NewKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 2, 3, 1000} {
		sealed, err := Seal(keys.K, make([]byte, size), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != SealedSize(size) {
			t.Errorf("%d bytes: %d characters, said %d", size, len(sealed), SealedSize(size))
		}
	}
}

func TestPack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("autorun.sh", 0o700)
	write("d/file", 0o600)
	first, err := Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	if i := Inspect(first, 0); !i.Script || strings.Join(i.Entries, " ") != "autorun.sh d/ d/file" {
		t.Errorf("packed %v", i.Entries)
	}
	if again, err := Pack(dir); err != nil || !bytes.Equal(first, again) {
		t.Errorf("packing twice makes two archives (%v)", err)
	}
	if err := os.Symlink("autorun.sh", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(dir); err == nil || !strings.Contains(err.Error(), "link is neither") {
		t.Errorf("a link: %v", err)
	}
	if _, err := Pack(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there was packed")
	}
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, content []byte) { Inspect(content, 100) })
}

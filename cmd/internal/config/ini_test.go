package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const vectors = "../../../testdata/vectors/ini"

// TestParseINIVectors compares with what Python's RawConfigParser read.
func TestParseINIVectors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(vectors, "want.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]json.RawMessage
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]Kind{
		"ERR ParsingError": KindSyntax, "ERR MissingSectionHeaderError": KindNoSection,
		"ERR DuplicateOptionError": KindDuplicateOption, "ERR DuplicateSectionError": KindDuplicateSection,
	}
	files, err := filepath.Glob(filepath.Join(vectors, "*.ini"))
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d files for %d vectors, %v", len(files), len(want), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".ini")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseINI(path, data)
			var kind string
			if json.Unmarshal(want[name], &kind) == nil {
				if problem := new(Error); !errors.As(err, &problem) || problem.Kind != kinds[kind] || problem.Origin.Line == 0 {
					t.Fatalf("got %v, want %s with its line", err, kind)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var sections map[string]map[string]string
			if err := json.Unmarshal(want[name], &sections); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sections, effective(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// effective is the view of a file that RawConfigParser.items gives.
func effective(f *INI) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, s := range f.Sections {
		all[s.Name] = map[string]string{}
		for _, o := range append(append([]INIOption{}, f.Defaults.Options...), s.Options...) {
			all[s.Name][o.Name], _ = f.Get(s.Name, o.Name)
		}
	}
	return all
}

func TestParseINIErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		kind       Kind
		line       int
	}{
		{"not UTF-8", "[tenant]\na = \xff\n", KindEncoding, 2},
		{"option in no section", "# c\n\na = 1\n", KindNoSection, 3},
		{"empty section name", "[tenant]\n[]\n", KindSyntax, 2},
		{"no delimiter", "[tenant]\nclient_key_password hunter2\n", KindSyntax, 2},
		{"no name", "[tenant]\n = hunter2\n", KindSyntax, 2},
		{"duplicate after a bogus line", "[tenant]\nbogus\na = 1\nA : 2\n", KindDuplicateOption, 4},
		{"duplicate in DEFAULT", "[DEFAULT]\na = 1\n[tenant]\n[DEFAULT]\na = 2\n", KindDuplicateOption, 5},
		{"duplicate section", "[a]\n[b]\n[a]\n", KindDuplicateSection, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseINI("f.conf", []byte(test.text))
			problem := new(Error)
			if !errors.As(err, &problem) || problem.Kind != test.kind || problem.Origin.Line != test.line {
				t.Fatalf("got %v, want %s in line %d", err, test.kind, test.line)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the message repeats a secret: %v", err)
			}
		})
	}
}

func FuzzParseINI(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(vectors, "*.ini"))
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseINI("f", data)
		if (file == nil) == (err == nil) {
			t.Fatal("neither or both of file and error")
		}
		if err != nil {
			return
		}
		size := 0
		for _, s := range append(file.Sections, file.Defaults) {
			for _, o := range s.Options {
				size += len(o.Value)
				if o.Name != strings.TrimFunc(o.Name, isPySpace) || o.Value != strings.TrimRightFunc(o.Value, isPySpace) {
					t.Errorf("%q = %q is not trimmed", o.Name, o.Value)
				}
			}
		}
		if size > len(data) {
			t.Errorf("%d bytes of values from %d bytes", size, len(data))
		}
	})
}

package durable_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/durable"
)

// line is a record as a server writes it.
func line(seconds int64, text string) string {
	return fmt.Sprintf("%d--%s\n----\n", seconds, base64.StdEncoding.EncodeToString([]byte(text)))
}

// directory makes a directory of files.
func directory(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t testing.TB, o durable.Options) durable.Store {
	t.Helper()
	store, err := durable.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// texts reads records.
func texts(t testing.TB, log durable.Log, numbers []int) (all []string) {
	t.Helper()
	for _, i := range numbers {
		raw, err := log.Read(t.Context(), i)
		if err != nil {
			all = append(all, fmt.Sprintf("%d: %v", raw.Time.Unix(), err))
			continue
		}
		all = append(all, fmt.Sprintf("%d: %s", raw.Time.Unix(), raw.Data))
	}
	return all
}

func selected(t testing.TB, log durable.Log, w durable.Window) []string {
	t.Helper()
	numbers, err := log.Select(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return texts(t, log, numbers)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{
		"da_attestation_a.json":    line(10, "one") + line(20, "two") + line(20, "three") + line(30, "four"),
		"da_registration_a.json":   line(5, "r"),
		"da_registration_b.json":   line(5, "r"),
		"da_attestation_.json":     "",
		"da_attestation_x.pickle":  "",
		"xda_attestation_c.json":   "",
		"other_attestation_d.json": "",
	})
	store := open(t, durable.Options{Import: "keylime.da.examples.file", URL: "file://" + dir + "?prefix=da"})
	for kind, want := range map[durable.Kind][]string{durable.Attestations: {"a"}, durable.Registrations: {"a", "b"}} {
		if ids, err := store.Agents(t.Context(), kind); err != nil || !slices.Equal(ids, want) {
			t.Errorf("%s: %q %v", kind, ids, err)
		}
	}
	if got := durable.Prefixes(store); !slices.Equal(got, []string{"da", "other", "xda"}) {
		t.Errorf("prefixes %q", got)
	}
	log, err := store.Log(t.Context(), durable.Attestations, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	for name, test := range map[string]struct {
		w    durable.Window
		want []string
	}{
		"all":   {durable.Window{}, []string{"10: one", "20: two", "20: three", "30: four"}},
		"from":  {durable.Window{From: at(20)}, []string{"20: two", "20: three", "30: four"}},
		"to":    {durable.Window{To: at(20)}, []string{"10: one", "20: two", "20: three"}},
		"both":  {durable.Window{From: at(11), To: at(29)}, []string{"20: two", "20: three"}},
		"none":  {durable.Window{From: at(31)}, nil},
		"last":  {durable.Window{Last: true}, []string{"30: four"}},
		"first": {durable.Window{To: at(10)}, []string{"10: one"}},
	} {
		if got := selected(t, log, test.w); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if log.Len() != 4 || log.Incomplete() {
		t.Errorf("%d records, incomplete %v", log.Len(), log.Incomplete())
	}
}

// TestFileDamage: what is no record is said to be none, and the others are read.
func TestFileDamage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		content    string
		want       []string
		incomplete bool
	}{
		"empty":                  {"", nil, false},
		"being written":          {line(10, "one") + "20--b25l", []string{"10: one"}, true},
		"whole, without its end": {line(10, "one") + "20--" + base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)), []string{"10: one", `20: {"a":1}`}, false},
		"cut at a byte":          {line(10, "one") + "20--" + base64.StdEncoding.EncodeToString([]byte(`{"a":123}`))[:8], []string{"10: one"}, true},
		"a number":               {"20--" + base64.StdEncoding.EncodeToString([]byte("123")), nil, true},
		"without parting":        {"10--b25l\n20--dHdv\n", []string{"10: one", "20: two"}, false},
		"blank lines":            {"\n" + line(10, "one") + "\n\r\n", []string{"10: one"}, false},
		"CRLF":                   {"10--b25l\r\n----\r\n", []string{"10: one"}, false},
		"no time":                {line(10, "one") + "b25l\n----\n", []string{"10: one", "10: the line does not begin with a time in seconds and two dashes"}, false},
		"time too large":         {"999999999999--b25l\n", []string{"0: the line does not begin with a time in seconds and two dashes"}, false},
		"negative":               {"-1--b25l\n", []string{"0: the line does not begin with a time in seconds and two dashes"}, false},
		"not base64":             {"10--b2*l\n----\n", []string{"10: the record is not base64"}, false},
		"long line":              {line(10, strings.Repeat("x", 600000)) + line(20, "two"), []string{"10: " + strings.Repeat("x", 600000), "20: two"}, false},
	} {
		store := open(t, durable.Options{URL: directory(t, map[string]string{"_attestation_a.json": test.content})})
		log, err := store.Log(t.Context(), durable.Attestations, "a")
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		if got := selected(t, log, durable.Window{}); !slices.Equal(got, test.want) || log.Incomplete() != test.incomplete {
			t.Errorf("%s: %.200q, incomplete %v", name, got, log.Incomplete())
		}
	}
}

// TestOpenRefuses: stores that are not read say why, and what to do.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, test := range []struct {
		name, cause, hint string
		o                 durable.Options
	}{
		{"pickle", "runs whatever code", "persistent_store_format = json", durable.Options{URL: dir, Format: "pickle"}},
		{"format", "no such format", "json", durable.Options{URL: dir, Format: "yaml"}},
		{"encoding", "no such encoding", "base64", durable.Options{URL: dir, Encoding: "hex"}},
		{"SQL by module", "SQL", "keylime.da.examples.file", durable.Options{URL: "mysql://u:geheim@h/db", Import: "keylime.da.examples.sqldb"}},
		{"SQL by address", "SQL", "keylime.da.examples.file", durable.Options{URL: "sqlite:///x.db"}},
		{"SQL with a driver", "SQL", "keylime.da.examples.file", durable.Options{URL: "mysql+pymysql://u:geheim@h/db"}},
		{"module", "what this module writes", "--store URL", durable.Options{URL: dir, Import: "ours.store"}},
		{"scheme", "no store of kind", "file:///DIR", durable.Options{URL: "s3://bucket/x"}},
		{"nothing", "empty", "persistent_store_url", durable.Options{}},
		{"two slashes", "a directory belongs", "three slashes", durable.Options{URL: "file://var/lib/x"}},
		{"no directory", "not a directory", "directory", durable.Options{URL: filepath.Join(directory(t, map[string]string{"f": ""}), "f")}},
		{"no port", "no host with a port", "redis://HOST:PORT", durable.Options{URL: "redis://localhost?db=1"}},
	} {
		_, err := durable.Open(t.Context(), test.o)
		var refused *durable.UnsupportedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.cause) || !strings.Contains(refused.HintText(), test.hint) {
			t.Errorf("%s: %v (%s)", test.name, err, refused.HintText())
		}
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: a password is shown: %v", test.name, err)
		}
	}
	_, err := durable.Open(t.Context(), durable.Options{URL: filepath.Join(dir, "nowhere")})
	var closed *durable.OpenError
	if !errors.As(err, &closed) || !errors.Is(err, fs.ErrNotExist) || closed.HintText() == "" {
		t.Errorf("%v", err)
	}
}

func TestFileIDs(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"_attestation_a.json": line(1, "x")})
	if err := os.Mkdir(filepath.Join(dir, "_attestation_d.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	store := open(t, durable.Options{URL: filepath.Join(dir, "sub", "..")})
	for _, id := range []string{"", "../x", "a/../a", `a\b`, "nobody", "a\x00"} {
		var none *durable.NoLogError
		if _, err := store.Log(t.Context(), durable.Attestations, id); !errors.As(err, &none) {
			t.Errorf("%q: %v", id, err)
		}
	}
	var closed *durable.OpenError
	if _, err := store.Log(t.Context(), durable.Attestations, "d"); !errors.As(err, &closed) {
		t.Errorf("a directory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Log(ctx, durable.Attestations, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/cmd/internal/cli"
)

// many are a registrar and a verifier with ten thousand agents.
func many() http.HandlerFunc {
	var bulk, list bytes.Buffer
	for i := range 10_000 {
		separator := ","
		if i == 0 {
			separator = ""
		}
		id := fmt.Sprintf("d432fbb3-d2f1-4a97-9ef7-%012d", i)
		fmt.Fprintf(&bulk, `%s%q: %s`, separator, id, well(map[bool]int{true: 9, false: 3}[i%100 == 0], "null"))
		fmt.Fprintf(&list, `%s%q`, separator, id)
	}
	answers := map[string]string{
		"/version":      `{"current_version": "2.6", "supported_versions": ["2.6"]}`,
		"/v2.6/agents/": "{" + bulk.String() + "}",
	}
	return func(w http.ResponseWriter, r *http.Request) {
		results := answers[r.URL.Path]
		if r.URL.Path != "/version" && !r.URL.Query().Has("bulk") {
			results = `{"uuids": [` + list.String() + `]}`
		}
		fmt.Fprintf(w, `{"code": 200, "status": "Success", "results": %s}`, results)
	}
}

// BenchmarkStatus10000 is a whole call of status, from options to output, over
// TLS; the fake servers are in the same process.
func BenchmarkStatus10000(b *testing.B) {
	env := verifierAt(b, many())
	for _, format := range []string{"table", "wide", "json", "jsonl", "name"} {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var out bytes.Buffer
				if code := cli.Main(context.Background(), []string{"keylime_tenant", "status", "-o", format}, env, cli.Streams{Out: &out, Err: &bytes.Buffer{}}); code != 0 || out.Len() < 300_000 {
					b.Fatal(code, out.Len())
				}
			}
		})
	}
}

// TestInstalledNames: make install links every name that the binary answers to.
func TestInstalledNames(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var linked []string
	for line := range strings.Lines(strings.ReplaceAll(string(makefile), "\\\n", " ")) {
		if names, found := strings.CutPrefix(line, "TOOLS := "); found {
			linked = strings.Fields(names)
		}
	}
	if len(linked) == 0 {
		t.Fatal("the Makefile names no tools")
	}
	pages := t.TempDir()
	if _, errs, code := call(t, nil, "man", pages); code != 0 {
		t.Fatal(errs)
	}
	for _, name := range linked {
		// A name that the binary does not answer to would print the help of the
		// program.
		var out, errs bytes.Buffer
		cli.Main(context.Background(), []string{filepath.Join("/usr/bin", name), "--help"}, nil, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if strings.Contains(out.String(), "keylime_tenant VERB") {
			t.Errorf("the binary does not answer to %s", name)
		}
	}
	if !slices.IsSorted(linked) {
		t.Errorf("%q are not sorted", linked)
	}
}

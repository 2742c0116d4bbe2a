package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaFor compiles what the program prints as the schema of a result.
func schemaFor(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	out, errs, code := call(t, nil, append([]string{"schema"}, strings.Fields(name)...)...)
	if code != 0 || errs != "" {
		t.Fatalf("schema of %s: exit code %d: %s", name, code, errs)
	}
	compiled, err := compileSchema(out)
	if err != nil {
		t.Fatalf("schema of %s: %v\n%s", name, err, out)
	}
	return compiled
}

func compileSchema(text string) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("it.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("it.json")
}

// TestSchemas: every schema listed is one, and has a version in its name.
func TestSchemas(t *testing.T) {
	t.Parallel()
	out, _, code := call(t, nil, "schema", "-o", "json")
	var list struct {
		Schemas []struct{ Name, Schema, About string }
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list.Schemas) < 30 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	seen := map[string]bool{}
	for _, s := range list.Schemas {
		if seen[s.Schema] || !strings.HasPrefix(s.Schema, "keylime_tenant/") || !strings.HasSuffix(s.Schema, "/v1") || s.About == "" {
			t.Errorf("%+v", s)
		}
		seen[s.Schema] = true
		compiled := schemaFor(t, s.Name)
		if err := compiled.Validate([]any{"no object"}); err == nil {
			t.Errorf("%s takes anything", s.Name)
		}
		if other, _, _ := call(t, nil, "schema", s.Schema); !strings.Contains(other, `"$id": "`+s.Schema+`"`) {
			t.Errorf("%s is not found by its id", s.Schema)
		}
	}
	for _, args := range [][]string{{"schema", "statsu"}, {"schema", "nothing", "such"}} {
		if _, errs, code := call(t, nil, args...); code != 2 || !strings.Contains(errs, "hint: ") {
			t.Errorf("%q: exit code %d: %s", args, code, errs)
		}
	}
}

// TestSchemaOfDocuments: documents are what their schema says, and a document
// that lacks a member is not.
func TestSchemaOfDocuments(t *testing.T) {
	t.Parallel()
	env := watched(t, &changing{})
	for _, c := range []struct {
		schema string
		args   string
		lines  bool
	}{
		{"status", "status -o json", false},
		{"status line", "status -o jsonl", true},
		{"watch line", "watch -o jsonl --interval 0.01 --times 4", true},
		{"bulkinfo", "bulkinfo -o json", false},
		{"reglist", "reglist -o json", false},
		{"version", "version -o json", false},
		{"config show", "config show -o json", false},
		{"error", "status nobody -o json --max-age x", false},
		{"error", "watch -o yaml x", false},
	} {
		compiled := schemaFor(t, c.schema)
		out, errs, _ := call(t, env, strings.Fields(c.args)...)
		if strings.HasPrefix(c.args, "watch -o yaml") {
			out, errs, _ = call(t, env, "watch", "-o", "json")
		}
		documents := []string{out}
		if c.lines {
			documents = strings.Split(strings.TrimSpace(out), "\n")
		}
		for _, text := range documents {
			document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Errorf("%s: %v\n%s%s", c.args, err, out, errs)
				continue
			}
			if err := compiled.Validate(document); err != nil {
				t.Errorf("%s: %v\n%s", c.args, err, text)
			}
			if object, ok := document.(map[string]any); ok && c.schema != "config show" {
				for name := range object {
					delete(object, name)
				}
				if compiled.Validate(object) == nil {
					t.Errorf("%s: an empty object passes for it", c.args)
				}
			}
		}
	}
}

// cmdSchema is `schema NAME`: stdout is a document as the schema of NAME says.
func cmdSchema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: schema NAME")
	}
	out := ts.ReadFile("stdout")
	ts.Check(ts.Exec("keylime_tenant", append([]string{"schema"}, args...)...))
	compiled, err := compileSchema(ts.ReadFile("stdout"))
	ts.Check(err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(out)))
	ts.Check(err)
	ts.Check(compiled.Validate(document))
}

package tenant

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestPythonJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`:                                `{}`,
		"{\n \"b\":[1,2.50,-3e5],\"a\":{}}": `{"b": [1, 2.50, -3e5], "a": {}}`,
		`{"k": "a, b: c"}`:                  `{"k": "a, b: c"}`,
		`"\/ \u0041 \u00E9 é 𝄞 \u000a"`:     `"/ A \u00e9 \u00e9 \ud834\udd1e \n"`,
		`"\u0022 \u005C \u0001 \ud834"`:     `"\" \\ \u0001 \ud834"`,
		`"\\u0041"`:                         `"\\u0041"`,
		"\"\x7f\"":                          "\"\x7f\"",
		` null `:                            `null`,
		`[true,false]`:                      `[true, false]`,
	} {
		if got, err := pythonJSON([]byte(in)); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{``, `{`, `{}{}`, "\ufeff{}", "\"\xff\"", `{'a': 1}`, `"\u12"`} {
		if got, err := pythonJSON([]byte(in)); err == nil || got != "" {
			t.Errorf("%q: %s, no error", in, got)
		}
	}
}

func FuzzPythonJSON(f *testing.F) {
	f.Add([]byte(`{"b":[1,2.50,-3e5],"a":{"\u0041\/é":null}}`))
	f.Add([]byte(goodRuntime))
	f.Add([]byte(`"\ud834\udd1e"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := pythonJSON(data)
		if err != nil {
			return
		}
		var before, after any
		if json.Unmarshal(data, &before) != nil {
			t.Fatal("taken for JSON")
		}
		if err := json.Unmarshal([]byte(got), &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%q became %q (%v)", data, got, err)
		}
		again, err := pythonJSON([]byte(got))
		if err != nil || again != got {
			t.Errorf("%q became %q the second time (%v)", got, again, err)
		}
	})
}

package pyjson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestPrint: each line is a document and what CPython 3.11 prints for it.
func TestPrint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, repr, dumps string }{
		{`{}`, `{}`, `{}`},
		{``, `{}`, `{}`},
		{`<html>`, `{}`, `{}`},
		{`{"code":200, "status" : "Success","results":{"uuids":[["a"]],"n":null,"t":true,"f":false}}`,
			`{'code': 200, 'status': 'Success', 'results': {'uuids': [['a']], 'n': None, 't': True, 'f': False}}`,
			`{"code": 200, "status": "Success", "results": {"uuids": [["a"]], "n": null, "t": true, "f": false}}`},
		{`"Can't delete"`, `"Can't delete"`, `"Can't delete"`},
		{`"both ' and \""`, `'both \' and "'`, `"both ' and \""`},
		{`"a\nb\\c\/d\t\r\b\f\u0000\u007f"`, `'a\nb\\c/d\t\r\x08\x0c\x00\x7f'`, `"a\nb\\c/d\t\r\b\f\u0000\u007f"`},
		{`"é漢\u00ad\u200b\ud83d\ude00"`, `'é漢\xad\u200b😀'`, `"\u00e9\u6f22\u00ad\u200b\ud83d\ude00"`},
		{`"\ud800x\udc00\udc00\ud800"`, `'\ud800x\udc00\udc00\ud800'`, `"\ud800x\udc00\udc00\ud800"`},
		{`"\udbff\udfff"`, `'\U0010ffff'`, `"\udbff\udfff"`},
		{`[1, -0, 123456789012345678901234567890, 1.0, 1e2, 1E-5, 0.0001, 1e16, 9999999999999998.0, -0.0, 5e-324, 1.5e300, 1e400, -1e400]`,
			`[1, 0, 123456789012345678901234567890, 1.0, 100.0, 1e-05, 0.0001, 1e+16, 9999999999999998.0, -0.0, 5e-324, 1.5e+300, inf, -inf]`,
			`[1, 0, 123456789012345678901234567890, 1.0, 100.0, 1e-05, 0.0001, 1e+16, 9999999999999998.0, -0.0, 5e-324, 1.5e+300, Infinity, -Infinity]`},
		{`{"b":1,"a":2,"b":[]}`, `{'b': [], 'a': 2}`, `{"b": [], "a": 2}`},
		{` [ ] `, `[]`, `[]`},
		{`NaN`, `{}`, `{}`},
	} {
		if got := Repr(json.RawMessage(test.in)); got != test.repr {
			t.Errorf("Repr(%s)\ngot  %s\nwant %s", test.in, got, test.repr)
		}
		if got := Dumps(json.RawMessage(test.in)); got != test.dumps {
			t.Errorf("Dumps(%s)\ngot  %s\nwant %s", test.in, got, test.dumps)
		}
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": `''`, "x'y": `"x'y"`, `'"`: `'\'"'`, "\xff": `'\udcff'`, "\xed\xa0\x80": `'\ud800'`, "a b": `'a b'`, "\u00a0": `'\xa0'`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestObject(t *testing.T) {
	t.Parallel()
	in := json.RawMessage(`{"z": {"k": [1, {"x": "}"}]}, "a" : 1.50, "z\"": null, "a": "new"}`)
	o, err := ParseObject(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(o.Raw()); got != `{"z":{"k": [1, {"x": "}"}]},"a":"new","z\"":null}` {
		t.Errorf("got %s", got)
	}
	if v, found := o.Get("a"); !found || string(v) != `"new"` {
		t.Errorf("Get: %s %v", v, found)
	}
	if _, found := o.Get("none"); found {
		t.Error("Get finds what is not there")
	}
	changed := o.Set("z", json.RawMessage(`0`)).Set("q", String("é")).Delete("a").Set("n", nil)
	if got := string(changed.Raw()); got != `{"z":0,"z\"":null,"q":"\u00e9","n":null}` {
		t.Errorf("got %s", got)
	}
	if v, _ := o.Get("a"); len(o) != 3 || string(v) != `"new"` {
		t.Error("an edit has changed the object itself")
	}
	if got := string(Wrap("id", json.RawMessage(`{}`))); got != `{"id":{}}` {
		t.Errorf("Wrap: %s", got)
	}
	for _, bad := range []string{"", "[]", "1", `{"a":}`, "null", `{"a":1} x`} {
		if _, err := ParseObject(json.RawMessage(bad)); !errors.Is(err, ErrNotObject) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// TestGolden: every JSON line that the Python tenant has written comes out of
// Dumps as it went in.
func TestGolden(t *testing.T) {
	t.Parallel()
	file, err := os.Open("../../../testdata/golden/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	printed := 0
	for lines.Scan() {
		var run struct{ Case, Stdout string }
		if err := json.Unmarshal(lines.Bytes(), &run); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(run.Stdout, "\n") {
			_, record, found := strings.Cut(line, " - INFO - ")
			if !found {
				record = line
			}
			if json.Valid([]byte(record)) && strings.HasPrefix(record, "{") {
				printed++
				if got := Dumps(json.RawMessage(record)); got != record {
					t.Errorf("%s\ngot  %s\nwant %s", run.Case, got, record)
				}
			}
		}
	}
	if err := lines.Err(); err != nil || printed < 40 {
		t.Fatalf("%d lines, %v", printed, err)
	}
}

func FuzzPrint(f *testing.F) {
	for _, seed := range []string{`{"code": 200, "status": "Success", "results": {"a": [1, 2.5, -0, 1e400, "\ud800", "é'\""]}}`, `{"a":1,"a":{"b":[]}}`, `[`, `"\u12`, "\"\xff\"", ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dumped, printed := Dumps(data), Repr(data)
		if !json.Valid(data) {
			if dumped != nothing || printed != nothing {
				t.Fatal("something is printed for what is not JSON")
			}
			return
		}
		if strings.ContainsAny(printed, "\n\r\t\x1b") || strings.ContainsAny(dumped, "\n\r\t\x1b\x7f") {
			t.Errorf("control characters come through: %q %q", printed, dumped)
		}
		if strings.Contains(dumped, "Infinity") {
			return
		}
		if again := Dumps(json.RawMessage(dumped)); again != dumped {
			t.Errorf("%s\nprints again as\n%s", dumped, again)
		}
		o, err := ParseObject(data)
		if (err == nil) != bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
			t.Fatal("object or not:", err)
		}
		if err == nil && Dumps(o.Raw()) != dumped {
			t.Errorf("%s\nis taken apart and put together as\n%s", dumped, o.Raw())
		}
	})
}

func BenchmarkRepr(b *testing.B) {
	body := json.RawMessage(`{"code": 200, "status": "Success", "results": {"uuids": [` + strings.Repeat(`["d432fbb3-d2f1-4a97-9ef7-75bd81c00000"], `, 999) + `[]]}}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		Repr(body)
	}
}

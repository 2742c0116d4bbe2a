package tpmdev

import (
	"errors"
	"testing"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"device":                         "device:/dev/tpmrm0",
		"device:":                        "device:/dev/tpmrm0",
		"device:/dev/tpm0":               "device:/dev/tpm0",
		"/dev/tpm1":                      "device:/dev/tpm1",
		"swtpm":                          "swtpm:host=localhost,port=2321",
		"swtpm:":                         "swtpm:host=localhost,port=2321",
		"swtpm:path=/run/s.sock":         "swtpm:path=/run/s.sock",
		"swtpm:host=::1,port=1234":       "swtpm:host=::1,port=1234",
		"swtpm:host=[::1]":               "swtpm:host=::1,port=2321",
		"mssim:port=2400":                "mssim:host=localhost,port=2400",
		"mssim:host=10.0.0.1,port=65534": "mssim:host=10.0.0.1,port=65534",
	} {
		a, err := ParseAddress(text)
		if err != nil || a.String() != want {
			t.Errorf("%q is %v, %v; want %s", text, a, err, want)
			continue
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%v is read as %v, %v", a, again, err)
		}
	}
	for _, text := range []string{"", "tabrmd:bus_type=other", "tabrmd:bus_name=", "tabrmd:bus_name=a", "tabrmd:bus_name=a/b.c", "tabrmd:path=/x", "cmd:nc", "dev/tpm0", "swtpm:/run/s", "swtpm:path=", "swtpm:port=0", "swtpm:port=x", "swtpm:port=70000",
		"swtpm:path=/a,host=b", "swtpm:path=/a,port=1", "swtpm:colour=red", "mssim:port=65535"} {
		a, err := ParseAddress(text)
		if known := new(Error); !errors.As(err, &known) || known.Kind != BadAddress || known.Hint == "" {
			t.Errorf("%q is %v, %v", text, a, err)
		}
	}
}

// FuzzParseAddress: what is read is written as what is read as the same.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"device:/dev/tpm0", "swtpm:host=a,port=1", "mssim:path=x", "swtpm:,,port=5", "/", "swtpm:host=[]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q is %#v, and that is read as %#v, %v", text, a, again, err)
		}
	})
}

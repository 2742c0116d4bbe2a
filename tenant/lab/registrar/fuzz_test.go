package registrar

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"

	wire "github.com/keylime/keylime-tenant/client/registrar"
)

func FuzzRegistration(f *testing.F) {
	const dir = "../../../testdata/evidence/sb-on/"
	read := func(name string) string {
		data, err := os.ReadFile(dir + name)
		if err != nil {
			f.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(data)
	}
	cert := read("ek_cert.der")
	good := wire.RegisterRequest{EKTPM: read("ek_tpm2b_public.bin"), AIKTPM: read("ak_tpm2b_public.bin"), EKCert: &cert}
	if _, err := newRecord("agent", good); err != nil {
		f.Fatalf("the recorded TPM is refused: %v", err)
	}
	body, err := json.Marshal(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"ek_tpm": "0x00", "aik_tpm": "00", "port": "1"}`))
	f.Add([]byte(`{"iak_tpm": "` + good.AIKTPM + `", "idevid_tpm": "` + good.AIKTPM + `", "iak_cert": "` + cert + `", "idevid_cert": "` + cert + `", "iak_attest": "/1RDR4AX", "iak_sign": "ABQACwAA", "aik_tpm": "00"}`))
	server, err := New(Options{CertStore: dir})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var request wire.RegisterRequest
		if json.Unmarshal(body, &request) != nil {
			return
		}
		record, err := newRecord("agent", request)
		if err == nil && (record.EKTPM == "" || record.AIKTPM == "") {
			t.Error("a record without keys")
		}
		// Nobody can certify an AK with the IAK of a TPM that is not there.
		if device, err := server.identity("agent", request); err == nil && device != nil {
			t.Error("a device identity that is none")
		}
	})
}

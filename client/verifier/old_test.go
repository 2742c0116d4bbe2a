package verifier_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

// TestAddToAnOldVerifier: before API 2.3 the measured-boot policy had another
// key, which must be there.
func TestAddToAnOldVerifier(t *testing.T) {
	t.Parallel()
	var got map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = nil
		_ = json.NewDecoder(r.Body).Decode(&got)
		_, _ = io.WriteString(w, `{"code": 200, "status": "Success", "results": {}}`)
	}))
	defer s.Close()
	address := s.Listener.Addr().(*net.TCPAddr)
	transport, err := client.New(client.Config{Name: client.VerifierName, Host: address.IP.String(), Port: address.Port})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	policy := `{"kernels": []}`
	for _, test := range []struct {
		minor   int
		policy  *string
		present bool
		want    any
	}{{1, &policy, true, policy}, {2, nil, true, nil}, {3, &policy, false, nil}, {6, nil, false, nil}} {
		transport.Use(client.Version{Major: 2, Minor: test.minor})
		if _, err := verifier.New(transport).Add(t.Context(), "id", verifier.AddRequest{MBPolicy: test.policy, AKTPM: "YWs="}); err != nil {
			t.Fatal(err)
		}
		value, present := got["mb_refstate"]
		if present != test.present || value != test.want || got["ak_tpm"] != "YWs=" {
			t.Errorf("API 2.%d: %v", test.minor, got)
		}
	}
}

package verifier_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
)

func TestVerifyEvidence(t *testing.T) {
	t.Parallel()
	data := verifier.OneshotData{Quote: "rQ", Nonce: "n", HashAlg: "sha256", TPMEK: "e", TPMAK: "a", RuntimePolicy: `{"meta": 1}`}
	c, asked := serve(t, 200, `{"valid": true, "claims": {"quote": "rQ"}, "failures": []}`)
	v, _, err := c.VerifyEvidence(context.Background(), data)
	if err != nil || !v.Valid || len(v.Failures) > 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	path, body, _ := strings.Cut(*asked, "{")
	if path != "POST /v2.6/verify/evidence " {
		t.Error(path)
	}
	// What there is none of is an empty string: the verifier takes null and []
	// for something.
	var sent struct {
		Type string         `json:"type"`
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal([]byte("{"+body), &sent); err != nil {
		t.Fatal(err)
	}
	if sent.Type != "tpm" || len(sent.Data) != 10 || sent.Data["quote"] != "rQ" || sent.Data["ima_measurement_list"] != "" || sent.Data["mb_log"] != "" || sent.Data["mb_policy"] != "" {
		t.Errorf("%+v", sent)
	}
	c, _ = serve(t, 200, `{"valid": false, "claims": {}, "failures": [{"type": "pcr_validation.invalid_pcr_1", "context": {"got": "00"}}]}`)
	v, _, err = c.VerifyEvidence(context.Background(), data)
	if err != nil || v.Valid || len(v.Failures) != 1 || v.Failures[0].Type != "pcr_validation.invalid_pcr_1" || string(v.Failures[0].Context) != `{"got": "00"}` {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestVerifyEvidenceRefused: nothing but a plain yes is one.
func TestVerifyEvidenceRefused(t *testing.T) {
	t.Parallel()
	for results, kind := range map[string]client.Kind{
		`{"valid": 1, "failures": []}`:      client.Unreadable,
		`{"valid": "true", "failures": []}`: client.Unreadable,
		`{"valid": null, "failures": []}`:   client.Unreadable,
		`{"failures": []}`:                  client.Unreadable,
		`{}`:                                client.Unreadable,
		`null`:                              client.Unreadable,
		`{"valid": true, "failures": [{"type": "ima.x"}]}`:       client.Unreadable,
		`{"valid": false, "failures": "many"}`:                   client.Unreadable,
		`{"valid": false, "failures": [{"type": {}, "a": "b"}]}`: client.Unreadable,
	} {
		c, _ := serve(t, http.StatusOK, results)
		v, _, err := c.VerifyEvidence(context.Background(), verifier.OneshotData{})
		if v != nil || client.KindOf(err) != kind {
			t.Errorf("%s: %+v, %v", results, v, err)
		}
	}
	for _, status := range []int{http.StatusBadRequest, http.StatusInternalServerError} {
		c, _ := serve(t, status, `{"valid": true, "failures": []}`)
		if v, _, err := c.VerifyEvidence(context.Background(), verifier.OneshotData{}); v != nil || client.KindOf(err) != client.Refused {
			t.Errorf("%d: %+v, %v", status, v, err)
		}
	}
	if verifier.OneshotVersion().String() != "2.4" {
		t.Error(verifier.OneshotVersion())
	}
}

package ek_test

import (
	"crypto"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// checkOf is the check that an error names, "" for no error.
func checkOf(t testing.TB, err error) ek.Check {
	t.Helper()
	if err == nil {
		return ""
	}
	var failure *ek.VerificationError
	if !errors.As(err, &failure) {
		t.Fatalf("%T is not a *VerificationError: %v", err, err)
	}
	if failure.Err == nil || failure.Error() == "" {
		t.Errorf("%q without a cause", failure.Check)
	}
	return failure.Check
}

// TestRecorded: the certificate of the recorded software TPM and its chain.
func TestRecorded(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"sb-on", "bios"} {
		store := storeOf(t, map[string][]byte{"swtpm.pem": read(t, dir+"/ek_ca_chain.pem")})
		if store.Len() != 2 || len(store.Skipped()) != 0 {
			t.Fatalf("%d certificates, skipped %v", store.Len(), store.Skipped())
		}
		v, err := store.Verify(read(t, dir+"/ek_cert.der"), read(t, dir+"/ek_tpm2b_public.bin"), ek.Options{Now: present()})
		if err != nil {
			t.Fatal(err)
		}
		if c := v.Certificate(); v.Issuer() != "CN=swtpm-localca" || c.Manufacturer != "id:00001014" || c.Model != "swtpm" ||
			c.Algorithm != "rsa2048" || c.Serial.Int64() != 2 || v.Waived() != nil || !strings.HasSuffix(v.AnchorFile(), "swtpm.pem") || len(c.Notes) != 0 {
			t.Errorf("%+v", c)
		}
		_, err = store.Verify(read(t, dir+"/ek_ecc_p384_cert.der"), read(t, dir+"/ek_tpm2b_public.bin"), ek.Options{Now: present()})
		if got := checkOf(t, err); got != ek.CheckKeyMatch {
			t.Errorf("the certificate of another EK: %v", err)
		}
		root := storeOf(t, map[string][]byte{"root.pem": secondBlock(t, read(t, dir+"/ek_ca_chain.pem"))})
		_, err = root.Verify(read(t, dir+"/ek_cert.der"), read(t, dir+"/ek_tpm2b_public.bin"), ek.Options{Now: present()})
		if got := checkOf(t, err); got != ek.CheckChain {
			t.Errorf("the root without the intermediate: %v", err)
		}
	}
}

func secondBlock(t testing.TB, text []byte) []byte {
	t.Helper()
	_, rest := pem.Decode(text)
	return rest
}

// TestVerify spoils one thing at a time. compat says which check still
// refuses it in compat mode; waived are then the strict ones.
func TestVerify(t *testing.T) {
	t.Parallel()
	otherName := tlv(tagSeq, rdn(tagUTF8, "CN", "EK CA 2"))
	for _, c := range []struct {
		name           string
		spoil          func(t *testing.T, w *world)
		strict, compat ek.Check
	}{
		{"nothing", func(*testing.T, *world) {}, "", ""},
		{"no certificate", func(_ *testing.T, w *world) { w.der = []byte{} }, ek.CheckNoCertificate, ek.CheckNoCertificate},
		{"not a certificate", func(_ *testing.T, w *world) { w.der = []byte("emulator") }, ek.CheckCertificate, ek.CheckCertificate},
		{"cut", func(_ *testing.T, w *world) { w.raw = func(der []byte) []byte { return der[:len(der)-1] } }, ek.CheckCertificate, ek.CheckCertificate},
		{"two algorithms", func(_ *testing.T, w *world) { w.ek.outer = sha1RSA() }, ek.CheckCertificate, ek.CheckCertificate},
		{"no registered EK", func(_ *testing.T, w *world) { w.tpm2b = nil }, ek.CheckPublic, ""},
		{"registered EK with a byte more", func(_ *testing.T, w *world) { w.tpm2b = append(w.tpm2b, 0) }, ek.CheckPublic, ""},
		{"another key", func(t *testing.T, w *world) { w.ek.key = spkiOf(t, w.caKey.Public()) }, ek.CheckKeyMatch, ""},
		{"an unusable key", func(_ *testing.T, w *world) { w.ek.key = tlv(tagSeq, algorithm(nil, 1, 2, 3), tlv(tagBits, []byte{0})) }, ek.CheckKeyMatch, ""},
		{"empty store", func(_ *testing.T, w *world) { w.files = map[string][]byte{"README": nil} }, ek.CheckStore, ek.CheckStore},
		{"store of broken files", func(_ *testing.T, w *world) { w.files = map[string][]byte{"ca.pem": []byte("x")} }, ek.CheckStore, ek.CheckStore},
		{"another issuer", func(_ *testing.T, w *world) { w.ek.issuer = otherName }, ek.CheckChain, ek.CheckChain},
		{"another CA of that name", func(t *testing.T, w *world) {
			_, rsaKey := caKeys(t)
			w.ca.key = spkiOf(t, rsaKey.Public())
		}, ek.CheckSignature, ek.CheckSignature},
		{"a bit of the contents", func(_ *testing.T, w *world) { w.raw = func(der []byte) []byte { der[15] ^= 1; return der } }, ek.CheckSignature, ek.CheckSignature},
		{"a bit of the signature", func(_ *testing.T, w *world) { w.raw = func(der []byte) []byte { der[len(der)-1] ^= 1; return der } }, ek.CheckSignature, ek.CheckSignature},
		{"an unknown signature algorithm", func(_ *testing.T, w *world) { w.ek.algorithm = algorithm(nil, 1, 2, 3) }, ek.CheckSignature, ek.CheckSignature},
		{"an algorithm of another kind of key", func(_ *testing.T, w *world) { w.ek.algorithm = sha256RSA() }, ek.CheckSignature, ek.CheckSignature},
		{"an issuer with an unusable key", func(_ *testing.T, w *world) { w.ca.key = tlv(tagSeq, algorithm(nil, 1, 2, 3), tlv(tagBits, []byte{0})) }, ek.CheckSignature, ek.CheckSignature},
		{"an issuer that is no CA", func(_ *testing.T, w *world) { w.ca.extensions[0] = extension(19, true, tlv(tagSeq)) }, ek.CheckIssuer, ""},
		{"an issuer without constraints", func(_ *testing.T, w *world) { w.ca.extensions = w.ca.extensions[1:] }, ek.CheckIssuer, ""},
		{"an issuer that may not sign certificates", func(_ *testing.T, w *world) { w.ca.extensions[1] = extension(15, true, tlv(tagBits, []byte{1, 0x02})) }, ek.CheckIssuer, ""},
		{"an issuer with unreadable usage", func(_ *testing.T, w *world) { w.ca.extensions[1] = extension(15, true, tlv(tagInt, []byte{1})) }, ek.CheckIssuer, ""},
		{"an issuer with cut usage", func(_ *testing.T, w *world) { w.ca.extensions[1] = extension(15, true, nil) }, ek.CheckIssuer, ""},
		{"an issuer with unreadable constraints", func(_ *testing.T, w *world) { w.ca.extensions[0] = extension(19, true, tlv(tagInt, []byte{1})) }, ek.CheckIssuer, ""},
		{"an issuer with empty usage", func(_ *testing.T, w *world) { w.ca.extensions[1] = extension(15, true, tlv(tagBits, []byte{0})) }, ek.CheckIssuer, ""},
		{"an issuer of version 1", func(_ *testing.T, w *world) { w.ca.version, w.ca.extensions = nil, nil }, "", ""},
		{"issuer expired", func(_ *testing.T, w *world) { w.ca.notAfter = utc("250101000000Z") }, ek.CheckDates, ""},
		{"issuer not yet valid", func(_ *testing.T, w *world) { w.ca.notBefore = utc("280101000000Z") }, ek.CheckDates, ""},
		{"EK certificate expired", func(_ *testing.T, w *world) { w.ek.notAfter = utc("250101000000Z") }, ek.CheckDates, ""},
		{"EK certificate not yet valid", func(_ *testing.T, w *world) { w.ek.notBefore = utc("280101000000Z") }, ek.CheckDates, ""},
		{"unreadable date", func(_ *testing.T, w *world) { w.ek.notAfter = utc("soon") }, ek.CheckDates, ""},
	} {
		for _, compat := range []bool{false, true} {
			mode, want := "strict", c.strict
			if compat {
				mode, want = "compat", c.compat
			}
			t.Run(mode+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.compat = compat
				c.spoil(t, w)
				v, err := w.verify(t)
				if got := checkOf(t, err); got != want {
					t.Fatalf("check %q refused it, want %q: %v", got, want, err)
				}
				if err == nil {
					if got := checkOf(t, v.Waived()); got != c.strict {
						t.Errorf("check %q was waived, want %q", got, c.strict)
					}
				}
			})
		}
	}
}

// TestWeakHash: SHA-1 vouches in compat mode only.
func TestWeakHash(t *testing.T) {
	t.Parallel()
	_, rsaKey := caKeys(t)
	w := newWorld(t)
	w.caKey, w.ca.key = rsaKey, spkiOf(t, rsaKey.Public())
	w.ca.algorithm, w.ek.algorithm, w.ek.hash = sha256RSA(), sha1RSA(), crypto.SHA1
	_, err := w.verify(t)
	if got := checkOf(t, err); got != ek.CheckSignature {
		t.Errorf("%v", err)
	}
	w.compat = true
	v, err := w.verify(t)
	if err != nil || checkOf(t, v.Waived()) != ek.CheckSignature {
		t.Errorf("%v, waived %v", err, v.Waived())
	}
}

// TestSignatureAlgorithms: RSA and ECDSA with every hash, and PSS.
func TestSignatureAlgorithms(t *testing.T) {
	t.Parallel()
	null := []byte{tagNull, 0}
	eccOf := func(n int) []byte { return algorithm(nil, 1, 2, 840, 10045, 4, 3, n) }
	rsaOf := func(n int) []byte { return algorithm(null, 1, 2, 840, 113549, 1, 1, n) }
	hashID := func(n int) []byte { return algorithm(null, 2, 16, 840, 1, 101, 3, 4, 2, n) }
	pssOf := func(hash, mask int) []byte {
		return algorithm(tlv(tagSeq, tlv(0xa0, hashID(hash)),
			tlv(0xa1, algorithm(hashID(mask), 1, 2, 840, 113549, 1, 1, 8)), tlv(0xa2, tlv(tagInt, []byte{32}))), 1, 2, 840, 113549, 1, 1, 10)
	}
	for _, c := range []struct {
		name      string
		algorithm []byte
		hash      crypto.Hash
		rsa, pss  bool
		want      ek.Check
	}{
		{"ECDSA SHA-224", eccOf(1), crypto.SHA224, false, false, ""},
		{"ECDSA SHA-256", eccOf(2), crypto.SHA256, false, false, ""},
		{"ECDSA SHA-384", eccOf(3), crypto.SHA384, false, false, ""},
		{"ECDSA SHA-512", eccOf(4), crypto.SHA512, false, false, ""},
		{"ECDSA SHA-1", algorithm(nil, 1, 2, 840, 10045, 4, 1), crypto.SHA1, false, false, ek.CheckSignature},
		{"RSA SHA-224", rsaOf(14), crypto.SHA224, true, false, ""},
		{"RSA SHA-256", rsaOf(11), crypto.SHA256, true, false, ""},
		{"RSA SHA-384", rsaOf(12), crypto.SHA384, true, false, ""},
		{"RSA SHA-512", rsaOf(13), crypto.SHA512, true, false, ""},
		{"PSS SHA-256", pssOf(1, 1), crypto.SHA256, true, true, ""},
		{"PSS SHA-384", pssOf(2, 2), crypto.SHA384, true, true, ""},
		{"PSS SHA-512", pssOf(3, 3), crypto.SHA512, true, true, ""},
		{"PSS SHA-224", pssOf(4, 4), crypto.SHA224, true, true, ""},
		{"PSS with two hashes", pssOf(1, 2), crypto.SHA256, true, true, ek.CheckSignature},
		{"PSS with an unknown hash", pssOf(9, 9), crypto.SHA256, true, true, ek.CheckSignature},
		{"PSS by default is SHA-1", algorithm(nil, 1, 2, 840, 113549, 1, 1, 10), crypto.SHA1, true, true, ek.CheckSignature},
		{"PSS that is not PSS", pssOf(1, 1), crypto.SHA256, true, false, ek.CheckSignature},
		{"PSS with an unknown mask", algorithm(tlv(tagSeq, tlv(0xa1, algorithm(nil, 1, 2, 3))), 1, 2, 840, 113549, 1, 1, 10), crypto.SHA256, true, true, ek.CheckSignature},
		{"PSS with an unknown field", algorithm(tlv(tagSeq, tlv(tagInt, []byte{1})), 1, 2, 840, 113549, 1, 1, 10), crypto.SHA256, true, true, ek.CheckSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.rsa {
				_, rsaKey := caKeys(t)
				w.caKey, w.ca.key, w.ca.algorithm = rsaKey, spkiOf(t, rsaKey.Public()), sha256RSA()
			}
			w.ek.algorithm, w.ek.hash, w.ek.pss = c.algorithm, c.hash, c.pss
			_, err := w.verify(t)
			if got := checkOf(t, err); got != c.want {
				t.Errorf("check %q, want %q: %v", got, c.want, err)
			}
		})
	}
}

// TestIrregular: what the field has and crypto/x509 refuses is read, in both
// modes, and vouched for.
func TestIrregular(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, w *world)
		note  string
	}{
		{"padding after the end", func(_ *testing.T, w *world) {
			w.raw = func(der []byte) []byte { return append(der, 0xff, 0xff, 0xff) }
		}, "3 bytes follow its end"},
		{"header of TPM memory", func(_ *testing.T, w *world) {
			w.raw = func(der []byte) []byte {
				return append([]byte{0x10, 0x01, 0x00, byte(len(der) >> 8), byte(len(der))}, der...)
			}
		}, "a header of TPM memory precedes it"},
		{"negative serial number", func(_ *testing.T, w *world) { w.ek.serial = []byte{0x80, 1} }, "its serial number is negative"},
		{"serial number not minimal", func(_ *testing.T, w *world) { w.ek.serial = []byte{0, 0, 1} }, ""},
		{"string types differ", func(_ *testing.T, w *world) {
			w.ek.issuer = tlv(tagSeq, rdn(tagUTF8, "C", "XX"), rdn(tagPrintable, "O", "Maker of TPMs"), rdn(20, "CN", "EK CA 1"))
		}, ""},
		{"BMP and universal strings", func(_ *testing.T, w *world) {
			wide := func(width int, text string) string {
				var b strings.Builder
				for _, r := range text {
					b.WriteString(strings.Repeat("\x00", width-1) + string(r))
				}
				return b.String()
			}
			w.ek.issuer = tlv(tagSeq, rdn(30, "C", wide(2, "XX")), rdn(28, "O", wide(4, "Maker of TPMs")), rdn(tagUTF8, "CN", "EK CA 1"))
		}, ""},
		{"sets out of order", func(_ *testing.T, w *world) {
			w.ca.subject = tlv(tagSeq, rdn(tagPrintable, "C", "XX", "CN", "EK CA 1", "O", "Maker"))
			w.ek.issuer = tlv(tagSeq, rdn(tagPrintable, "CN", "EK CA 1", "O", "Maker", "C", "XX"))
		}, ""},
		{"text that its string type forbids", func(_ *testing.T, w *world) {
			w.ca.subject = tlv(tagSeq, rdn(tagPrintable, "CN", "EK_CA@1"))
			w.ek.issuer = w.ca.subject
		}, ""},
		{"critical names and unknown usages", func(*testing.T, *world) {}, ""}, // in every certificate here
		{"longer lengths than need be", func(_ *testing.T, w *world) {
			w.ek.wrap = func(tbs []byte) []byte {
				body := tbs[4:]
				return append([]byte{tagSeq, 0x84, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
			}
		}, ""},
		{"indefinite length", func(_ *testing.T, w *world) {
			w.ek.wrap = func(tbs []byte) []byte {
				return append(append([]byte{tagSeq, 0x80}, tbs[4:]...), 0, 0)
			}
		}, ""},
		{"dates without seconds", func(_ *testing.T, w *world) { w.ek.notBefore = utc("2401010000Z") }, ""},
		{"dates with an offset", func(_ *testing.T, w *world) { w.ek.notBefore = utc("240101000000+0100") }, ""},
		{"dates with fractions", func(_ *testing.T, w *world) { w.ek.notBefore = tlv(tagGeneralized, []byte("20240101000000.5Z")) }, ""},
		{"years before 2000", func(_ *testing.T, w *world) { w.ek.notBefore = utc("520101000000Z") }, ""},
		{"OAEP key", func(_ *testing.T, w *world) {
			w.ek.key = tlv(tagSeq, algorithm([]byte{tagNull, 0}, 1, 2, 840, 113549, 1, 1, 7), w.ek.key[4+15:])
		}, ""},
		{"explicit default of a critical flag", func(_ *testing.T, w *world) {
			w.ek.extensions = append(w.ek.extensions, tlv(tagSeq, oidOf(2, 5, 29, 98), tlv(tagBool, []byte{0}), tlv(tagOctets, nil)))
		}, ""},
		{"broken extensions", func(_ *testing.T, w *world) {
			w.ek.extensions = append(w.ek.extensions, []byte{tagInt, 1, 1}, tlv(tagSeq, []byte{tagInt, 1, 1}, []byte{tagInt, 1, 1}),
				extension(35, false, nil), extension(17, false, tlv(tagSeq, tlv(0xa4), tlv(0xa4, []byte{1, 1, 1}))))
		}, ""},
	} {
		for mode, compat := range map[string]bool{"strict": false, "compat": true} {
			t.Run(mode+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.compat = compat
				c.spoil(t, w)
				v, err := w.verify(t)
				if err != nil || v.Waived() != nil {
					t.Fatalf("%v, waived %v", err, v.Waived())
				}
				if notes := strings.Join(v.Certificate().Notes, "; "); notes != c.note {
					t.Errorf("notes %q, want %q", notes, c.note)
				}
			})
		}
	}
}

// TestSeveralOfOneName: one issuer of the name that passes is enough, in
// whatever order the files lie.
func TestSeveralOfOneName(t *testing.T) {
	t.Parallel()
	for _, order := range [][2]string{{"a.pem", "b.pem"}, {"b.pem", "a.pem"}} {
		w := newWorld(t)
		good := w.ca
		expired := w.ca
		expired.notAfter = utc("250101000000Z")
		_, rsaKey := caKeys(t)
		stranger := w.ca
		stranger.key = spkiOf(t, rsaKey.Public())
		w.files = map[string][]byte{
			order[0]: append(certPEM(expired.sign(t, w.caKey)), certPEM(stranger.sign(t, w.caKey))...),
			order[1]: certPEM(good.sign(t, w.caKey)),
		}
		v, err := w.verify(t)
		if err != nil || !strings.HasSuffix(v.AnchorFile(), order[1]) {
			t.Errorf("%v from %s", err, v.AnchorFile())
		}
	}
}

// TestPresent: without a time the present one counts.
func TestPresent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = time.Time{}
	w.ca.notAfter = utc("490101000000Z")
	if _, err := w.verify(t); err != nil {
		t.Error(err)
	}
	w.ek.notAfter = utc("200101000000Z")
	if _, err := w.verify(t); checkOf(t, err) != ek.CheckDates {
		t.Error(err)
	}
}

// TestErrorText: the error tells what an operator needs.
func TestErrorText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ek.issuer = tlv(tagSeq, rdn(tagUTF8, "CN", "EK CA \x1b[31m"+strings.Repeat("9", 500)))
	w.files = map[string][]byte{"other.pem": certPEM(w.ca.sign(t, w.caKey)), "broken.pem": []byte("x")}
	for _, name := range []string{"a.crt", "b.crt", "c.crt", "d.crt", "e.crt", "f.der"} {
		w.files[name] = nil
	}
	_, err := w.verify(t)
	var failure *ek.VerificationError
	if !errors.As(err, &failure) {
		t.Fatal(err)
	}
	if failure.Check != ek.CheckChain || failure.AKI != "ca01" || failure.Loaded != 1 || len(failure.SkippedFiles) != 7 {
		t.Errorf("%+v", failure)
	}
	text := failure.Error()
	for _, want := range []string{`"chain"`, "EK CA", "ca01", failure.StoreDir, "with 1 certificate in other.pem", "skipped", "and 2 more skipped"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %q", want, text)
		}
	}
	if strings.Contains(text, "\x1b") || len(text) > 3000 {
		t.Errorf("%q is not fit for a terminal", text)
	}
}

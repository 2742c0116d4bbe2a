package agent

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// revocationCertName is the certificate that a payload brings along.
const revocationCertName = "RevocationNotifier-cert.crt"

// notice is the body of POST /notifications/revocation (PROTOCOL.md 7.5).
type notice struct {
	Msg       string `json:"msg"`
	Signature string `json:"signature"`
}

// takeNotice answers POST /notifications/revocation. Like the Rust agent it
// says yes to every notice that has the form of one, and decides afterwards
// what to do about it.
func (a *Agent) takeNotice(n notice) answer {
	a.work.Go(func() {
		switch err := a.verifyNotice(n); {
		case errors.Is(err, fs.ErrNotExist):
			a.logf("revocation notice ignored: no certificate to verify it with has come with a payload")
		case err != nil:
			a.logf("revocation notice refused: %v", err)
		default:
			a.logf("revocation notice with a good signature: %.300q", n.Msg)
			a.runActions(n.Msg)
		}
	})
	return success(null{})
}

// verifyNotice checks the signature over the exact message: RSA-PSS with
// SHA-256 and a salt of any length. No certificate at all is fs.ErrNotExist.
func (a *Agent) verifyNotice(n notice) error {
	path := a.config.RevocationCert
	if path == "" {
		path = filepath.Join(a.unzipped(), revocationCertName)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s is not PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("%s holds no RSA key", path)
	}
	signature, err := base64.StdEncoding.DecodeString(n.Signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	digest := sha256.Sum256([]byte(n.Msg))
	return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
}

// runActions runs what the configuration and the payload name, in this order;
// the first that fails is the last that is run.
func (a *Agent) runActions(message string) {
	names := slices.Clone(a.config.RevocationActions)
	if list, err := os.ReadFile(filepath.Join(a.unzipped(), "action_list")); err == nil {
		names = append(names, strings.FieldsFunc(string(list), func(r rune) bool { return strings.ContainsRune(" \t\r\n,[]\"'", r) })...)
	}
	if len(names) == 0 {
		return
	}
	f, err := os.CreateTemp(a.config.KeylimeDir, ".notice-*.json")
	if err != nil {
		a.logf("revocation actions: %v", err)
		return
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(message)
	if err = errors.Join(err, f.Close()); err != nil {
		a.logf("revocation actions: %v", err)
		return
	}
	for _, name := range names {
		path, err := a.action(name)
		if err != nil {
			a.logf("revocation action %.100q: %v", name, err)
			return
		}
		if code, err := a.run(a.config.KeylimeDir, path, f.Name()); err != nil || code != 0 {
			a.logf("revocation action %.100q: exit code %d, %v", name, code, err)
			return
		}
		a.logf("revocation action %.100q has run", name)
	}
}

// action finds the program of an action: one that is installed, or one of the
// payload if those are allowed.
func (a *Agent) action(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", errors.New("leads out of the directory of actions")
	}
	dirs := []string{a.config.RevocationActionsDir}
	if a.config.AllowPayloadActions {
		dirs = append(dirs, a.unzipped())
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			if dir == a.unzipped() {
				if err := os.Chmod(path, 0o700); err != nil {
					return "", err
				}
			}
			return path, nil
		}
	}
	return "", fs.ErrNotExist
}

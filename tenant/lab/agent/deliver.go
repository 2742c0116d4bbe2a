package agent

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/keylime/keylime-tenant/payload"
)

// maxFiles bounds the number of entries of a payload.
const maxFiles = 4096

// deliver does in the background what the agent does with a payload
// (PROTOCOL.md 7.4). Nil, and a key without a payload, are nothing to do.
func (a *Agent) deliver(d *delivery) {
	if d == nil {
		return
	}
	a.logf("derived the payload key")
	if d.sealed == "" {
		return
	}
	if !a.config.EnableMTLS && !a.config.EnableInsecurePayload {
		a.logf("payload refused: mTLS is off and enable_insecure_payload is not set")
		return
	}
	a.work.Go(func() {
		a.payloads.Lock()
		defer a.payloads.Unlock()
		if a.workCtx.Err() != nil {
			return
		}
		if err := a.unpack(d); err != nil {
			a.logf("payload: %v", err)
			return
		}
		a.runScript()
	})
}

// unpack decrypts a payload into a fresh directory and extracts it.
func (a *Agent) unpack(d *delivery) error {
	plain, err := payload.Open(d.key, d.sealed)
	if err != nil {
		return err
	}
	dir := a.unzipped()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, content := range map[string][]byte{a.config.EncKeyname: d.key.Bytes(), a.config.DecPayloadFile: plain} {
		if err := writeFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	a.logf("decrypted a payload of %d bytes", len(plain))
	if !a.config.ExtractPayloadZip {
		return nil
	}
	if err := extract(plain, dir, a.config.SecureSize); err != nil {
		return fmt.Errorf("not unpacked, so no script is run: %w", err)
	}
	return nil
}

// extract unpacks a zip archive into dir, at most limit bytes of it. Entries
// that would lie elsewhere, or are no plain files or directories, are errors
// before anything is written.
func extract(archive []byte, dir string, limit int64) error {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return err
	}
	if len(r.File) > maxFiles {
		return fmt.Errorf("%d entries, more than %d", len(r.File), maxFiles)
	}
	for _, f := range r.File {
		// Backslashes separate names on Windows only; nobody needs them.
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) || strings.Contains(f.Name, `\`) {
			return fmt.Errorf("entry %.100q leads out of the directory", f.Name)
		}
		if mode := f.Mode(); !mode.IsRegular() && !mode.IsDir() {
			return fmt.Errorf("entry %.100q is neither a file nor a directory", f.Name)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := limit
	for _, f := range r.File {
		n, err := extractOne(root, f, left)
		if err != nil {
			return fmt.Errorf("entry %.100q: %w", f.Name, err)
		}
		left -= n
	}
	return nil
}

func extractOne(root *os.Root, f *zip.File, limit int64) (int64, error) {
	name := filepath.FromSlash(strings.TrimSuffix(f.Name, "/"))
	if f.Mode().IsDir() || strings.HasSuffix(f.Name, "/") {
		return 0, root.MkdirAll(name, 0o700)
	}
	if parent := filepath.Dir(name); parent != "." {
		if err := root.MkdirAll(parent, 0o700); err != nil {
			return 0, err
		}
	}
	in, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600|f.Mode().Perm()&0o100)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, io.LimitReader(in, limit+1))
	if err == nil && n > limit {
		err = errors.New("the payload unpacks to more than secure_size allows")
	}
	return n, errors.Join(err, out.Close())
}

// runScript runs payload_script, if the payload has brought one, and waits for
// it. Its exit code is told and does not matter.
func (a *Agent) runScript() {
	if a.config.PayloadScript == "" {
		return
	}
	path := filepath.Join(a.unzipped(), a.config.PayloadScript)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		a.logf("the payload has no %s to run", a.config.PayloadScript)
		return
	}
	if err := os.Chmod(path, 0o700); err != nil {
		a.logf("payload script: %v", err)
		return
	}
	code, err := a.run(a.unzipped(), path)
	switch {
	case err != nil:
		a.logf("%s: %v", a.config.PayloadScript, err)
	default:
		a.logf("%s has run and ended with exit code %d", a.config.PayloadScript, code)
	}
}

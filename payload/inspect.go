package payload

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ScriptName is what an agent runs unless it is configured otherwise
// (payload_script, PROTOCOL.md 7.4).
const ScriptName = "autorun.sh"

// SecureSize is the size in bytes of the memory file system into which an
// agent unpacks, unless it is configured otherwise (secure_size, 1m).
const SecureSize = 1 << 20

// Inspection says what an agent will do with a payload.
type Inspection struct {
	// Size is the plain size in bytes; SealedSize is what max_payload_size
	// counts: characters once encrypted and in base64.
	Size       int `json:"size"`
	SealedSize int `json:"sealed_size"`
	// Zip: the agent unpacks it. Otherwise it stays one file, and no script runs.
	Zip bool `json:"zip"`
	// Unpacked is the size in bytes of all entries, unpacked.
	Unpacked uint64 `json:"unpacked_size,omitempty"`
	// Script: there is an autorun.sh that the agent will run.
	Script bool `json:"script"`
	// Entries are the names in the archive.
	Entries []string `json:"entries,omitempty"`
	// Warnings say what will not work as its author may think, one sentence
	// each, without a period.
	Warnings []string `json:"warnings,omitempty"`
}

// SealedSize is the number of characters that size bytes become when sealed:
// base64 of IV, ciphertext and tag (PROTOCOL.md 7.1).
func SealedSize(size int) int {
	return base64.StdEncoding.EncodedLen(ivLength + size + tagLength)
}

// Inspect says what an agent will do with a payload. limit is
// max_payload_size, 0 for none.
func Inspect(content []byte, limit int) Inspection {
	i := Inspection{Size: len(content), SealedSize: SealedSize(len(content))}
	if i.Size == 0 {
		i.warn("it is empty")
	}
	if limit > 0 && i.SealedSize > limit {
		i.warn("it is %d bytes once encrypted, and max_payload_size allows %d", i.SealedSize, limit)
	}
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		if bytes.HasPrefix(content, []byte("PK\x03\x04")) {
			i.warn("it begins like a zip file, but cannot be read as one: the agent would not unpack it")
		} else if bytes.HasPrefix(content, []byte("#!")) {
			i.warn("it is a script and no zip file: the agent keeps it as a file and does not run it; pack it as %s", ScriptName)
		}
		return i
	}
	i.Zip = true
	for _, f := range archive.File {
		i.entry(f)
	}
	if i.Unpacked > SecureSize {
		i.warn("it unpacks to %d bytes, and an agent has room for %d unless its secure_size is raised", i.Unpacked, SecureSize)
	}
	if !i.Script {
		i.warn("it holds no %s at the top: nothing will be run unless the agent names another payload_script", ScriptName)
	}
	return i
}

func (i *Inspection) warn(format string, a ...any) {
	i.Warnings = append(i.Warnings, fmt.Sprintf(format, a...))
}

// entry judges one entry of an archive.
func (i *Inspection) entry(f *zip.File) {
	i.Entries = append(i.Entries, f.Name)
	i.Unpacked += f.UncompressedSize64
	if !fs.ValidPath(strings.TrimSuffix(f.Name, "/")) || strings.Contains(f.Name, `\`) {
		i.warn("entry %q would lie outside its folder: agents refuse such archives", f.Name)
	}
	if !strings.HasSuffix(f.Name, ".sh") || strings.Contains(f.Name, "/") {
		return
	}
	i.Script = i.Script || f.Name == ScriptName
	r, err := f.Open()
	if err != nil {
		i.warn("%s cannot be read: %v", f.Name, err)
		return
	}
	defer r.Close()
	head := make([]byte, 4096)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		i.warn("%s cannot be read: %v", f.Name, err)
		return
	}
	head = head[:n]
	switch {
	case n == 0:
		i.warn("%s is empty", f.Name)
	case bytes.Contains(head, []byte("\r\n")):
		i.warn("%s has the line endings of Windows, with which a shell finds no commands", f.Name)
	case !bytes.HasPrefix(head, []byte("#!")):
		i.warn("%s does not begin with #!, so it is run by sh", f.Name)
	}
}

// Pack makes a zip file of a folder, for an agent to unpack: regular files and
// folders with their modes, names sorted, times left out, so that one folder
// always makes one archive. Links and devices are refused.
func Pack(dir string) ([]byte, error) {
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		return packEntry(archive, path, filepath.ToSlash(name), d)
	})
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", dir, err)
	}
	return b.Bytes(), nil
}

func packEntry(archive *zip.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	header.SetMode(info.Mode())
	switch {
	case d.IsDir():
		header.Name, header.Method = name+"/", zip.Store
		_, err := archive.CreateHeader(header)
		return err
	case !d.Type().IsRegular():
		return fmt.Errorf("%s is neither a file nor a folder", name)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	w, err := archive.CreateHeader(header)
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}

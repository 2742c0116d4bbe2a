package cli

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"

	"github.com/keylime/keylime-tenant/policy/dsse"
	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/measuredboot"
	"github.com/keylime/keylime-tenant/policy/runtime"
)

// content is what a file holds, judged by its content and never by its name.
type content int

const (
	contentUnknown content = iota
	contentEmpty
	contentBootLog
	contentIMAList
	contentIMABinary
	contentMBPolicy
	contentRuntimePolicy
	contentSigned
	contentAllowlist
	contentJSON
)

func (c content) String() string {
	switch c {
	case contentEmpty:
		return "an empty file"
	case contentBootLog:
		return "a boot log"
	case contentIMAList:
		return "an IMA list"
	case contentIMABinary:
		return "an IMA list in binary form"
	case contentMBPolicy:
		return "a measured-boot policy"
	case contentRuntimePolicy:
		return "a runtime policy"
	case contentSigned:
		return "a signed policy"
	case contentAllowlist:
		return "an allowlist"
	case contentJSON:
		return "JSON, but no policy"
	}
	return "neither a policy, nor a boot log, nor an IMA list"
}

// name is how JSON calls it.
func (c content) name() string {
	switch c {
	case contentBootLog:
		return "boot-log"
	case contentIMAList, contentIMABinary:
		return "ima-list"
	case contentMBPolicy:
		return "measured-boot-policy"
	case contentRuntimePolicy:
		return "runtime-policy"
	case contentSigned:
		return "signed-policy"
	case contentAllowlist:
		return "allowlist"
	}
	return "unknown"
}

// isList says whether it is a measurement list of IMA.
func (c content) isList() bool { return c == contentIMAList || c == contentIMABinary }

// peeked is how much of a file is looked at to see what it is. A policy begins
// with its telling members, wherever they stand: JSON is read as a whole.
const peeked = 4096

// largest is the size in octets above which a policy is not read. The largest
// known runtime policies have 20 MiB.
const largest = 1 << 30

// document is a file named on the command line, open, and what it holds. Lists
// of IMA can be large and are left to be read as they come.
type document struct {
	path    string
	content content
	in      *bufio.Reader
	close   func()
}

// openDocument opens a file, "-" for standard input, and finds out what it
// holds.
func (a *app) openDocument(path string) (*document, error) {
	in, closeIn := a.streams.In, func() {}
	if path == "-" {
		if a.stdinUsed != "" {
			return nil, usagef("standard input can be read once, and %s is read from it already", a.stdinUsed)
		}
		a.stdinUsed = "a file"
		path = "standard input"
	} else {
		f, err := await(a.ctx, func() (*os.File, error) { return os.Open(path) })
		if err != nil {
			return nil, unreadable(path, err)
		}
		in, closeIn = f, func() { _ = f.Close() } // read only
	}
	if f, ok := in.(*os.File); !ok || !isRegular(f) {
		in = &patient{a.ctx, in}
	}
	d := &document{path: path, in: bufio.NewReaderSize(in, 64<<10), close: closeIn}
	head, err := d.in.Peek(peeked)
	if err != nil && !errors.Is(err, io.EOF) {
		closeIn()
		return nil, unreadable(path, err)
	}
	if d.content = recognise(head); d.content == contentJSON {
		whole, err := d.bytes()
		if err != nil {
			return nil, err
		}
		d.content = recogniseJSON(whole)
		d.in = bufio.NewReader(bytes.NewReader(whole))
	}
	return d, nil
}

func isRegular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// bytes reads a document to its end and closes it.
func (d *document) bytes() ([]byte, error) {
	defer d.close()
	data, err := io.ReadAll(io.LimitReader(d.in, largest+1))
	switch {
	case err != nil:
		return nil, unreadable(d.path, err)
	case len(data) > largest:
		return nil, &fileError{Path: d.path, Cause: fmt.Sprintf("larger than %d MiB", largest>>20)}
	}
	return data, nil
}

// unfit is the error for a document that holds something else than is wanted.
func (d *document) unfit(wanted string) error {
	e := &fileError{Path: d.path, Cause: "this is " + d.content.String() + "; wanted is " + wanted}
	switch d.content {
	case contentUnknown:
		e.Cause = "this is not " + wanted
		// The parser of boot logs knows many files that people mistake for one.
		if data, err := d.bytes(); err == nil {
			var known *eventlog.Error
			if _, err := eventlog.Parse(data); errors.As(err, &known) && known.Hint != "" {
				e.Advice = known.Hint
			}
		}
	case contentEmpty:
		e.Cause = "the file is empty; wanted is " + wanted
	case contentAllowlist:
		e.Advice = "keylime_tenant policy convert " + d.path + " -o policy.json makes a runtime policy of it"
	}
	d.close()
	return e
}

// list tells an IMA list in text from everything else: the PCR, the template
// hash and the template's name. listed is a line of an old allowlist.
var (
	imaLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^\s*[0-9]{1,2} [0-9a-fA-F]{32,128} [a-z0-9][a-z0-9-]* `)
	})
	listLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(#.*\n|\s*\n)*\s*\\?[0-9a-fA-F]{32,128}[ \t]+\S`) })
)

// recognise says what a file holds by its beginning.
func recognise(head []byte) content {
	if len(head) == 0 {
		return contentEmpty
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case len(text) == 0:
		return contentEmpty
	case text[0] == '{' || text[0] == '[':
		return contentJSON
	case imaLine().Match(head):
		return contentIMAList
	case isBinaryList(head):
		return contentIMABinary
	case listLine().Match(head):
		return contentAllowlist
	case isBootLog(head):
		return contentBootLog
	case json.Valid(text):
		return contentJSON
	}
	return contentUnknown
}

// isBinaryList: PCR, 20 octets of template hash, length and name of a template
// that begins with "ima" or "evm" (PROTOCOL.md 11.1).
func isBinaryList(head []byte) bool {
	if len(head) < 32 || binary.LittleEndian.Uint32(head) > 23 {
		return false
	}
	// Lists of kernels with another hash than SHA-1 are as rare as they are
	// different; 20 octets are what every kernel writes by default.
	name := head[28:]
	return binary.LittleEndian.Uint32(head[24:]) < 256 && (bytes.HasPrefix(name, []byte("ima")) || bytes.HasPrefix(name, []byte("evm")))
}

// isBootLog: the first event has the SHA-1 form, whatever follows, and extends
// a register that exists (PFP 10.2.1). Whether it is a good log is for the
// parser to say.
func isBootLog(head []byte) bool {
	if len(head) < 32 {
		return false
	}
	pcr, kind, size := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[28:])
	known := eventlog.Type(kind).Known()
	return known && (pcr < 24 || eventlog.Type(kind) == eventlog.NoAction) && size < 1<<20
}

// recogniseJSON tells the JSON files apart.
func recogniseJSON(data []byte) content {
	if dsse.IsEnvelope(data) {
		return contentSigned
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &members); err != nil {
		// Broken JSON has no members; the parser that is meant will say where.
		members = mentioned(data)
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if _, found := members[name]; found {
				return true
			}
		}
		return false
	}
	switch {
	case has("scrtm_and_bios", "has_secureboot", "kernels", "mokdig"):
		return contentMBPolicy
	case has("hashes") && !has("digests"):
		return contentAllowlist
	case has("digests", "excludes", "ima-buf", "verification-keys"):
		return contentRuntimePolicy
	}
	return contentJSON
}

// member finds what looks like the name of a member.
var member = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`"([a-z_-]{3,32})"\s*:`) })

// mentioned are the names of members that a text seems to have.
func mentioned(data []byte) map[string]json.RawMessage {
	found := map[string]json.RawMessage{}
	for _, m := range member().FindAllSubmatch(data[:min(len(data), 1<<16)], 200) {
		found[string(m[1])] = nil
	}
	return found
}

// bootLog parses a document as a boot log.
func (d *document) bootLog() (*eventlog.Log, error) {
	switch {
	case d.content == contentBootLog, d.content == contentUnknown, d.content == contentEmpty:
	default:
		return nil, d.unfit(contentBootLog.String())
	}
	defer d.close()
	log, err := eventlog.Read(d.in)
	if err != nil {
		return nil, logError(d.path, err)
	}
	return log, nil
}

// logError names the log, and gives the parser's remedy as a hint of its own.
func logError(path string, err error) error {
	var known *eventlog.Error
	if !errors.As(err, &known) {
		return &fileError{Path: path, Err: err}
	}
	bare := *known
	bare.Hint = ""
	return &fileError{Path: path, Err: &bare, Advice: known.Hint}
}

// mbPolicy parses a document as a measured-boot policy. {} and the like are
// policies that check nothing.
func (d *document) mbPolicy() (*measuredboot.Policy, error) {
	switch d.content {
	case contentMBPolicy, contentJSON, contentUnknown:
	case contentSigned:
		d.close()
		return nil, &fileError{Path: d.path, Cause: "a signed policy is a runtime policy: Keylime has no signatures of measured-boot policies"}
	default:
		return nil, d.unfit(contentMBPolicy.String())
	}
	data, err := d.bytes()
	if err != nil {
		return nil, err
	}
	if d.content == contentJSON && !measuredboot.IsEmpty(data) {
		return nil, d.unfit(contentMBPolicy.String())
	}
	p, err := measuredboot.Parse(data)
	if err != nil {
		return nil, &fileError{Path: d.path, Err: err}
	}
	return p, nil
}

// runtimePolicy parses a document as a runtime policy, plain or signed. That it
// is signed is said; nothing is verified.
func (d *document) runtimePolicy() (p *runtime.Policy, signed bool, err error) {
	switch d.content {
	case contentRuntimePolicy, contentSigned, contentJSON, contentUnknown:
	default:
		return nil, false, d.unfit(contentRuntimePolicy.String())
	}
	data, err := d.bytes()
	if err != nil {
		return nil, false, err
	}
	if signed = d.content == contentSigned; signed {
		if data, err = dsse.Payload(data); err != nil {
			return nil, true, &fileError{Path: d.path, Err: err}
		}
	}
	p, err = runtime.ParsePolicy(data)
	if err != nil {
		return nil, signed, &fileError{Path: d.path, Cause: "no valid runtime policy", Err: err}
	}
	return p, signed, nil
}

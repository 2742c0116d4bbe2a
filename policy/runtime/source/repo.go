package source

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Defaults of fetching from a repository.
const (
	remoteWorkers = 8        // connections at a time, upstream's MAX_WORKERS_DEFAULT
	headerGuess   = 24 << 10 // bytes that hold most packages' headers, upstream's
	maxMetadata   = 1 << 30  // bytes of one metadata file, unpacked
	maxSignature  = 1 << 20  // bytes of a signature or key
)

// errAbsent tells that the server has no such file.
var errAbsent = errors.New("not there")

// remoteRepo takes the digests of all files in a repository: from the extended
// file lists if it has them, else from the header of each package, with one
// ranged request or few.
func (m *maker) remoteRepo(ctx context.Context, address string) ([]entry, error) {
	refuse := func(err error) ([]entry, error) {
		return nil, &InputError{Source: "RPM repository", Path: address, Err: err}
	}
	if m.r.HTTP == nil {
		return refuse(errors.New("fetching is not allowed here"))
	}
	base, err := url.Parse(strings.TrimSuffix(address, "/") + "/")
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return refuse(errors.New("not a URL with http or https"))
	}
	r := &remote{maker: m, base: base}
	index, err := r.index(ctx)
	if err != nil {
		return refuse(err)
	}
	if location := index.location("filelists-ext"); location != "" {
		entries, err := r.fileLists(ctx, location)
		if err != nil {
			return refuse(err)
		}
		return entries, nil
	}
	m.warn("Warning. filelist-ext.xml not present in the repo")
	packages, err := r.primary(ctx, index.location("primary"))
	if err != nil {
		return refuse(err)
	}
	workers := m.workers
	if workers <= 0 {
		workers = remoteWorkers
	}
	return m.readAll(ctx, packages, workers, r.header)
}

// remote is a repository that is fetched from.
type remote struct {
	*maker
	base *url.URL
}

// repomd is repodata/repomd.xml as far as it is needed.
type repomd struct {
	Data []struct {
		Type     string `xml:"type,attr"`
		Location struct {
			Href string `xml:"href,attr"`
		} `xml:"http://linux.duke.edu/metadata/repo location"`
	} `xml:"http://linux.duke.edu/metadata/repo data"`
}

// location is where the metadata of a kind are, "" if there are none.
func (r *repomd) location(kind string) string {
	for _, d := range r.Data {
		if d.Type == kind {
			return d.Location.Href
		}
	}
	return ""
}

// index fetches repomd.xml and checks its signature, if it has one.
func (r *remote) index(ctx context.Context) (*repomd, error) {
	const name = "repodata/repomd.xml"
	content, err := r.reach(ctx, name, maxMetadata)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	signature, err := r.get(ctx, name+".asc", maxSignature)
	switch {
	case errors.Is(err, errAbsent):
		r.warn("Warning. Unsigned repository. Continuing the RPM scanning")
	case err != nil:
		return nil, fmt.Errorf("%s.asc: %w", name, err)
	default:
		key, err := r.get(ctx, name+".key", maxSignature)
		if err != nil {
			return nil, fmt.Errorf("the metadata are signed, and their key %s.key cannot be had: %w", name, err)
		}
		if err := checkSigned(key, signature, content); err != nil {
			return nil, err
		}
	}
	var index repomd
	if err := xml.Unmarshal(content, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &index, nil
}

// resolve makes a reference of the metadata a URL.
func (r *remote) resolve(reference string) (string, error) {
	u, err := r.base.Parse(reference)
	if err != nil {
		return "", fmt.Errorf("location %.100q of the metadata is no URL", reference)
	}
	return u.String(), nil
}

// open starts a GET of what a reference names; from > 0 or to > 0 asks for a
// range of bytes, both ends included.
func (r *remote) open(ctx context.Context, reference string, from, to int64) (*http.Response, error) {
	address, err := r.resolve(reference)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if to > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to))
	}
	response, err := r.r.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return response, nil
	}
	response.Body.Close()
	if response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusGone {
		return nil, errAbsent
	}
	return nil, fmt.Errorf("the server answers %s", response.Status)
}

// get fetches a file of at most limit bytes.
func (r *remote) get(ctx context.Context, reference string, limit int64) ([]byte, error) {
	response, err := r.open(ctx, reference, 0, 0)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("larger than %d bytes", limit)
	}
	return content, err
}

// metadata calls element for every start of an XML element in a metadata file,
// compressed or not.
func (r *remote) metadata(ctx context.Context, reference string, element func(*xml.Decoder, xml.StartElement) error) error {
	response, err := r.open(ctx, reference, 0, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", reference, err)
	}
	defer response.Body.Close()
	in := bufio.NewReader(response.Body)
	var content io.Reader = in
	if head, _ := in.Peek(maxMagic); detect(head) >= 0 {
		unpacked, _, release, err := decompress(in)
		if err != nil {
			return fmt.Errorf("%s: %w", reference, err)
		}
		defer release()
		content = unpacked
	}
	d := xml.NewDecoder(&limited{content, maxMetadata})
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if start, ok := token.(xml.StartElement); ok && err == nil {
			err = element(d, start)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", reference, err)
		}
	}
}

// limited is a reader that fails, and does not end, at its limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("larger than %d bytes", int64(maxMetadata))
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// fileLists reads the extended file lists: <file hash="DIGEST">PATH</file>.
func (r *remote) fileLists(ctx context.Context, reference string) ([]entry, error) {
	p := &Package{}
	err := r.metadata(ctx, reference, func(d *xml.Decoder, start xml.StartElement) error {
		if start.Name.Local != "file" || start.Name.Space != "http://linux.duke.edu/metadata/filelists-ext" {
			return nil
		}
		var path string
		if err := d.DecodeElement(&path, &start); err != nil {
			return err
		}
		for _, a := range start.Attr {
			if a.Name.Local == "hash" && path != "" {
				p.Files = append(p.Files, PackageFile{Path: path, Digest: strings.ToLower(a.Value)})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.packageEntries(reference, p, map[string]int{}), nil
}

// primary lists the locations of all packages of type rpm.
func (r *remote) primary(ctx context.Context, reference string) ([]string, error) {
	if reference == "" {
		return nil, errors.New("the metadata name no list of packages (primary)")
	}
	var packages []string
	err := r.metadata(ctx, reference, func(d *xml.Decoder, start xml.StartElement) error {
		if start.Name.Local != "package" {
			return nil
		}
		var p struct {
			Type     string `xml:"type,attr"`
			Location struct {
				Href string `xml:"href,attr"`
			} `xml:"http://linux.duke.edu/metadata/common location"`
		}
		if err := d.DecodeElement(&p, &start); err != nil {
			return err
		}
		if p.Type == "rpm" && p.Location.Href != "" {
			packages = append(packages, p.Location.Href)
		}
		return nil
	})
	return packages, err
}

// header reads the headers of one package, asking for more as long as they are
// not whole.
func (r *remote) header(ctx context.Context, reference string) (*Package, error) {
	body := &ranged{remote: r, ctx: ctx, reference: reference, step: headerGuess}
	defer body.close()
	return ReadPackage(bufio.NewReaderSize(body, 4<<10))
}

// ranged reads a file by ranges that double, each asked for when the one before
// is used up. A server that sends the whole file is asked once.
type ranged struct {
	*remote
	ctx       context.Context
	reference string
	offset    int64
	step      int64
	body      io.ReadCloser
	got       bool // something came of the present range
	whole     bool
}

func (r *ranged) Read(p []byte) (int, error) {
	for {
		if r.body == nil {
			if r.whole {
				return 0, io.EOF
			}
			response, err := r.open(r.ctx, r.reference, r.offset, r.offset+r.step-1)
			if err != nil {
				return 0, err
			}
			if response.StatusCode == http.StatusOK && r.offset > 0 {
				response.Body.Close()
				return 0, errors.New("the server does not send parts of files")
			}
			r.body, r.got, r.whole = response.Body, false, response.StatusCode == http.StatusOK
			r.step *= 2
		}
		n, err := r.body.Read(p)
		r.offset += int64(n)
		r.got = r.got || n > 0
		if errors.Is(err, io.EOF) {
			r.close()
			if err = nil; !r.got { // the file ends where the range begins
				err = io.EOF
			}
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *ranged) close() {
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}

package source

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// compressions are the formats of initial RAM disks by the bytes that they begin
// with. LZMA has no magic; these are the properties that every tool writes.
var compressions = []struct {
	name, magic string
	open        func(*bufio.Reader) (io.Reader, error)
}{
	{"cpio", "070701", plain},
	{"cpio", "070702", plain},
	{"gzip", "\x1f\x8b", openGzip},
	{"zstd", "\x28\xb5\x2f\xfd", openZstd},
	{"xz", "\xfd7zXZ\x00", openXZ},
	{"lzma", "\x5d\x00\x00", func(r *bufio.Reader) (io.Reader, error) { return lzma.NewReader(r) }},
	{"lz4", "\x02\x21\x4c\x18", openLZ4}, // the kernel's legacy frames
	{"lz4", "\x04\x22\x4d\x18", openLZ4},
	{"bzip2", "BZh", func(r *bufio.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	{"lzo", "\x89LZO\x00\r", func(*bufio.Reader) (io.Reader, error) {
		return nil, errors.New("LZO is not supported; unpack it with lzop -d")
	}},
}

const maxMagic = 6

func plain(r *bufio.Reader) (io.Reader, error) { return r, nil }

// openGzip reads one gzip member and nothing behind it.
func openGzip(r *bufio.Reader) (io.Reader, error) {
	d, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	d.Multistream(false)
	return d, nil
}

// maxWindow bounds the memory of one zstd stream, in bytes; it is the kernel's
// own limit.
const maxWindow = 128 << 20

func openZstd(r *bufio.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(&framed{r: r, next: new(zstdFrames).next}, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(2*maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func openLZ4(r *bufio.Reader) (io.Reader, error) {
	return lz4.NewReader(&framed{r: r, next: new(lz4Frame).next}), nil
}

// openXZ reads one stream and nothing behind it.
func openXZ(r *bufio.Reader) (io.Reader, error) {
	return xz.ReaderConfig{SingleStream: true}.NewReader(&xzStream{r: r})
}

// detect returns the position in compressions of what head begins with, -1 for
// nothing known.
func detect(head []byte) int {
	for i, c := range compressions {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return i
		}
	}
	return -1
}

// decompress returns the content of r, whatever it is compressed with, and the
// name of the format. release frees what the decoder holds.
func decompress(r *bufio.Reader) (content io.Reader, format string, release func(), err error) {
	head, err := r.Peek(maxMagic)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", nil, err
	}
	i := detect(head)
	if i < 0 {
		return nil, "", nil, fmt.Errorf("neither an archive nor compressed in a known way: it begins with %x", head)
	}
	c := compressions[i]
	content, err = c.open(r)
	if err != nil {
		return nil, "", nil, fmt.Errorf("%s: %w", c.name, err)
	}
	release = func() {}
	if closer, ok := content.(io.Closer); ok {
		release = func() { _ = closer.Close() }
	}
	return content, c.name, release, nil
}

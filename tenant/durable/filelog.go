package durable

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// fileLog is a file of records: lines "SECONDS--BASE64", each followed by a
// line "----". Only where its records are is kept in memory.
type fileLog struct {
	r       io.ReaderAt
	entries []fileEntry
	// damage says why an entry is no record.
	damage     map[int]string
	incomplete bool
	close      func() error
}

// fileEntry is where the BASE64 of a record is, and its time in seconds.
type fileEntry struct {
	time, at, length int64
}

const (
	recordMark = "--"
	lineMark   = "----"
	// lastTime is upstream's end of times, in seconds since 1970.
	lastTime = 99999999999
	// indexBuffer is read at once; the head of a line is always within it.
	indexBuffer = 256 << 10
	// headOctets are enough for the time and its mark.
	headOctets = 32
)

// indexFile finds the records of a file. size bounds it, since servers may go on
// writing. A last line without its end is one that is being written, unless it
// holds a whole record: tools that cut records out of a file often leave it so.
func indexFile(ctx context.Context, file io.ReaderAt, size int64) (*fileLog, error) {
	l := &fileLog{r: file, damage: map[int]string{}, close: func() error { return nil }}
	r := bufio.NewReaderSize(io.NewSectionReader(file, 0, size), indexBuffer)
	var at, latest int64
	for lines := 0; ; lines++ {
		if lines%64 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		head, length, err := readLine(ctx, r)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading records: %w", err)
		}
		if err != nil {
			if length > 0 && length <= MaxRecord && wholeRecord(file, at, length) {
				l.add(head, at, length, latest)
			} else {
				l.incomplete = length > 0
			}
			return l, nil
		}
		latest = l.add(head, at, length, latest)
		at += length
	}
}

// wholeRecord tells whether a line holds a record to its last brace. What is cut
// off within is no JSON.
func wholeRecord(file io.ReaderAt, at, length int64) bool {
	line := make([]byte, length)
	if n, err := file.ReadAt(line, at); n != len(line) || err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	_, record, found := bytes.Cut(line, []byte(recordMark))
	data, err := decodeBase64(record)
	return found && err == nil && bytes.HasPrefix(data, []byte{'{'}) && json.Valid(data)
}

// readLine reads to the end of a line and returns its beginning and its length
// with the line end. With an error, the line has no end.
func readLine(ctx context.Context, r *bufio.Reader) (head []byte, length int64, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if head == nil {
			head = bytes.Clone(part[:min(len(part), headOctets)])
		}
		length += int64(len(part))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return head, length, err
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
	}
}

// add takes up a line, and returns the time of what follows if that has none.
func (l *fileLog) add(head []byte, at, length, latest int64) int64 {
	if length <= headOctets {
		if line := bytes.TrimSpace(head); len(line) == 0 || string(line) == lineMark {
			return latest
		}
	}
	e := fileEntry{time: latest, at: at, length: length}
	stamp, _, found := bytes.Cut(head, []byte(recordMark))
	seconds, err := strconv.ParseInt(string(stamp), 10, 64)
	switch {
	case !found || err != nil || seconds < 0 || seconds > lastTime:
		l.damage[len(l.entries)] = "the line does not begin with a time in seconds and two dashes"
	default:
		skipped := int64(len(stamp) + len(recordMark))
		e = fileEntry{time: seconds, at: at + skipped, length: length - skipped}
	}
	if e.length > MaxRecord {
		l.damage[len(l.entries)] = fmt.Sprintf("the record is larger than %d MiB", MaxRecord>>20)
	}
	l.entries = append(l.entries, e)
	return e.time
}

func (l *fileLog) Len() int { return len(l.entries) }

func (l *fileLog) Incomplete() bool { return l.incomplete }

func (l *fileLog) Close() error { return l.close() }

// Select: see [Log].
func (l *fileLog) Select(_ context.Context, w Window) ([]int, error) {
	if w.Last {
		if len(l.entries) == 0 {
			return nil, nil
		}
		return []int{len(l.entries) - 1}, nil
	}
	var chosen []int
	for i, e := range l.entries {
		if w.contains(e.time) {
			chosen = append(chosen, i)
		}
	}
	return chosen, nil
}

// Read: see [Log].
func (l *fileLog) Read(ctx context.Context, i int) (Raw, error) {
	if err := ctx.Err(); err != nil {
		return Raw{}, err
	}
	e := l.entries[i]
	raw := Raw{Time: time.Unix(e.time, 0).UTC()}
	if cause, damaged := l.damage[i]; damaged {
		return raw, &DamageError{Cause: cause}
	}
	data := make([]byte, e.length)
	if n, err := l.r.ReadAt(data, e.at); err != nil && !(errors.Is(err, io.EOF) && n == len(data)) {
		return raw, fmt.Errorf("reading a record: %w", err)
	}
	var err error
	raw.Data, err = decodeBase64(data)
	return raw, err
}

func decodeBase64(data []byte) ([]byte, error) {
	data = bytes.TrimSpace(data)
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(data)))
	n, err := base64.StdEncoding.Decode(decoded, data)
	if err != nil {
		return nil, &DamageError{Cause: "the record is not base64"}
	}
	return decoded[:n], nil
}

package durable

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// reply is an answer of a Redis server (RESP version 2).
type reply struct {
	text []byte
	n    int64
	list []reply
	null bool
}

// serverError is an error that the server answers with.
type serverError string

func (e serverError) Error() string { return "the server answers: " + clip(string(e), 200) }

var errReply = errors.New("the answer is none of a Redis server")

const (
	// replyLine bounds a line, replyList the elements of all lists, replyDepth the
	// lists in lists, replySize all text of one answer.
	replyLine  = 64 << 10
	replyList  = 1 << 20
	replyDepth = 4
	replySize  = MaxRecord + 1<<20
)

// replyReader reads one answer.
type replyReader struct {
	r *bufio.Reader
	// left is what may still come, in octets, and elements in elements of lists.
	left, elementsLeft int64
}

func readReply(r *bufio.Reader) (reply, error) {
	in := &replyReader{r: r, left: replySize, elementsLeft: replyList}
	return in.read(0)
}

func (in *replyReader) read(depth int) (reply, error) {
	line, err := in.line()
	if err != nil {
		return reply{}, err
	}
	if line == "" || depth > replyDepth {
		return reply{}, errReply
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return reply{text: []byte(rest)}, nil
	case '-':
		if depth > 0 {
			return reply{}, errReply // no command that is used here answers so
		}
		return reply{}, serverError(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return reply{}, errReply
	}
	switch {
	case kind == ':':
		return reply{n: n}, nil
	case (kind == '$' || kind == '*') && n == -1:
		return reply{null: true}, nil
	case kind == '$' && n >= 0:
		return in.bulk(n)
	case kind == '*' && n >= 0 && n <= replyList:
		return in.elements(n, depth)
	}
	return reply{}, errReply
}

// line reads a line without its end.
func (in *replyReader) line() (string, error) {
	var b strings.Builder
	for {
		part, err := in.r.ReadSlice('\n')
		b.Write(part)
		if in.left -= int64(len(part)); in.left < 0 || b.Len() > replyLine {
			return "", errReply
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return "", err
		}
		line, whole := strings.CutSuffix(b.String(), "\r\n")
		if !whole {
			return "", errReply
		}
		return line, nil
	}
}

func (in *replyReader) bulk(n int64) (reply, error) {
	if in.left -= n + 2; in.left < 0 {
		return reply{}, &DamageError{Cause: fmt.Sprintf("the record is larger than %d MiB", MaxRecord>>20)}
	}
	// What is announced is not believed: memory grows with what comes.
	text, err := io.ReadAll(io.LimitReader(in.r, n))
	if err != nil {
		return reply{}, err
	}
	var end [2]byte
	if _, err := io.ReadFull(in.r, end[:]); err != nil || int64(len(text)) != n {
		return reply{}, io.ErrUnexpectedEOF
	}
	if string(end[:]) != "\r\n" {
		return reply{}, errReply
	}
	return reply{text: text}, nil
}

func (in *replyReader) elements(n int64, depth int) (reply, error) {
	if in.elementsLeft -= n; in.elementsLeft < 0 {
		return reply{}, errReply
	}
	var list []reply
	for range n {
		one, err := in.read(depth + 1)
		if err != nil {
			return reply{}, err
		}
		list = append(list, one)
	}
	return reply{list: list}, nil
}

// callLimit bounds one call to the server.
const callLimit = time.Minute

// respConn is a connection to a Redis server.
type respConn struct {
	conn net.Conn
	r    *bufio.Reader
	// broken says why nothing more can be asked.
	broken error
}

// call sends a command and reads the answer.
func (c *respConn) call(ctx context.Context, words ...string) (reply, error) {
	if c.broken != nil {
		return reply{}, c.broken
	}
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	deadline := time.Now().Add(callLimit)
	if limit, set := ctx.Deadline(); set && limit.Before(deadline) {
		deadline = limit
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	_, err := io.WriteString(c.conn, b.String())
	var answer reply
	if err == nil {
		answer, err = readReply(c.r)
	}
	var refused serverError
	switch {
	case err == nil || errors.As(err, &refused):
	case ctx.Err() != nil:
		c.broken, err = ctx.Err(), ctx.Err()
	default:
		c.broken = err
	}
	return answer, err
}

// clip bounds text of the server, and makes it fit for a terminal.
func clip(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

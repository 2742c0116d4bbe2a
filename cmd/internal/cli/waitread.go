package cli

import (
	"context"
	"fmt"
	"io"
	"os"
)

// await calls f, which may block for ever in a system call that nothing ends:
// opening a named pipe to which nobody writes, reading from a terminal at which
// nobody types. When the context ends, f is left alone.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	ended := make(chan outcome, 1)
	go func() {
		value, err := f()
		ended <- outcome{value, err}
	}()
	select {
	case o := <-ended:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// patient is a reader of which an interrupt ends the waiting.
type patient struct {
	ctx context.Context // of the call, which the reader does not outlive
	in  io.Reader
}

// Read reads into memory of its own, since a read that is left alone may still
// write there.
func (r *patient) Read(p []byte) (int, error) {
	got, err := await(r.ctx, func() ([]byte, error) {
		own := make([]byte, len(p))
		n, err := r.in.Read(own)
		return own[:n], err
	})
	return copy(p, got), err
}

// readWhole reads to the end what is not larger than a policy may be.
func readWhole(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, largest+1))
	if err == nil && len(data) > largest {
		return nil, fmt.Errorf("larger than %d MiB", largest>>20)
	}
	return data, err
}

// readPath reads a file to its end, also a pipe.
func readPath(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return readWhole(f)
}

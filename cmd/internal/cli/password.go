package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/keylime/keylime-tenant/payload"
)

// errNoTerminal: a question has to be asked, and nobody is there.
var errNoTerminal = errors.New("no terminal")

// askPassword asks on the terminal, without echo. It is an error, not a
// question to nobody, when the call has no terminal: errNoTerminal. An interrupt
// ends it.
func (a *app) askPassword(ctx context.Context, prompt string) (payload.Secret, error) {
	if !a.streams.InTTY {
		return payload.Secret{}, errNoTerminal
	}
	// Like getpass(3): the terminal itself, so that redirected streams neither
	// swallow the prompt nor are taken for the answer.
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		file, ok := a.streams.In.(*os.File)
		if !ok {
			return payload.Secret{}, errNoTerminal
		}
		fmt.Fprint(a.errOut(), prompt)
		return readPassword(ctx, file, a.errOut())
	}
	fmt.Fprint(terminal, prompt)
	password, err := readPassword(ctx, terminal, terminal)
	if ctx.Err() == nil { // otherwise it is still being read
		_ = terminal.Close()
	}
	return password, err
}

// readPassword reads a line without echo. The system call that reads cannot be
// ended: it is left alone when the context ends, and the terminal is set back,
// on which nothing that is typed would be seen otherwise.
func readPassword(ctx context.Context, from *os.File, echo io.Writer) (payload.Secret, error) {
	type answer struct {
		text []byte
		err  error
	}
	fd := int(from.Fd())
	before, err := term.GetState(fd)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return payload.Secret{}, fmt.Errorf("reading the password: %w", err)
	}
	read := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- answer{text, err}
	}()
	select {
	case got := <-read:
		fmt.Fprintln(echo)
		if got.err != nil {
			return payload.Secret{}, fmt.Errorf("reading the password: %w", got.err)
		}
		return payload.NewSecret(got.text), nil
	case <-ctx.Done():
		_ = term.Restore(fd, before) // what matters is the interrupt
		fmt.Fprintln(echo)
		return payload.Secret{}, fmt.Errorf("reading the password: %w", context.Cause(ctx))
	}
}

// jsonString is text as a JSON string.
func jsonString(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil { // a string is always one
		return `""`
	}
	return string(quoted)
}

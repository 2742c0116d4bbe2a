package cli

import (
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
// question to nobody, when the call has no terminal: errNoTerminal.
func (a *app) askPassword(prompt string) (payload.Secret, error) {
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
		return readPassword(file, a.errOut())
	}
	defer terminal.Close()
	fmt.Fprint(terminal, prompt)
	return readPassword(terminal, terminal)
}

func readPassword(from *os.File, echo io.Writer) (payload.Secret, error) {
	text, err := term.ReadPassword(int(from.Fd()))
	fmt.Fprintln(echo)
	if err != nil {
		return payload.Secret{}, fmt.Errorf("reading the password: %w", err)
	}
	return payload.NewSecret(text), nil
}

// jsonString is text as a JSON string.
func jsonString(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil { // a string is always one
		return `""`
	}
	return string(quoted)
}

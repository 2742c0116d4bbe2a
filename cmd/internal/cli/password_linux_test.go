package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// terminal makes a pseudo-terminal: what a person types goes into keyboard.
func terminal(t *testing.T) (keyboard, line *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	control := func(request uintptr, value *uint32) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, keyboard.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	var unlock, number uint32
	control(syscall.TIOCSPTLCK, &unlock)
	control(syscall.TIOCGPTN, &number)
	if line, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = line.Close() })
	return keyboard, line
}

// echoes says whether a terminal shows what is typed.
func echoes(t *testing.T, line *os.File) bool {
	t.Helper()
	var state syscall.Termios
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, line.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&state))); errno != 0 {
		t.Fatal(errno)
	}
	return state.Lflag&syscall.ECHO != 0
}

func TestReadPassword(t *testing.T) {
	t.Parallel()
	keyboard, line := terminal(t)
	if _, err := keyboard.WriteString("correct horse\n"); err != nil {
		t.Fatal(err)
	}
	var echo bytes.Buffer
	password, err := readPassword(t.Context(), line, &echo)
	if err != nil || string(password.Bytes()) != "correct horse" || echo.String() != "\n" {
		t.Errorf("%d bytes, %q, %v", password.Len(), echo.String(), err)
	}
	if !echoes(t, line) {
		t.Error("the terminal does not echo any more")
	}
}

// TestInterruptedPassword: an interrupt ends the question, and leaves a terminal
// on which one sees what one types.
func TestInterruptedPassword(t *testing.T) {
	t.Parallel()
	keyboard, line := terminal(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for range 2000 { // until the question is asked
			if !echoes(t, line) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel(errInterrupted)
	}()
	_, err := readPassword(ctx, line, &bytes.Buffer{})
	if !errors.Is(err, errInterrupted) || exitCode(err) != exitInterrupted {
		t.Errorf("%v", err)
	}
	if !echoes(t, line) {
		t.Error("the terminal does not echo any more")
	}
	// The reader that was left behind ends with the next line.
	if _, err := keyboard.WriteString("\n"); err != nil {
		t.Error(err)
	}
	if _, err := readPassword(ctx, line, &bytes.Buffer{}); !errors.Is(err, errInterrupted) {
		t.Errorf("asked again: %v", err)
	}
}

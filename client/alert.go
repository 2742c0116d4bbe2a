package client

import (
	"crypto/tls"
	"errors"
	"net"
	"reflect"
	"strings"
	"syscall"
)

// alert is a TLS alert description (RFC 8446, 6).
type alert uint8

// The alerts that say more than that something failed (RFC 8446, 6.2).
const (
	alertHandshakeFailure       alert = 40
	alertBadCertificate         alert = 42
	alertUnsupportedCertificate alert = 43
	alertCertificateRevoked     alert = 44
	alertCertificateExpired     alert = 45
	alertCertificateUnknown     alert = 46
	alertUnknownCA              alert = 48
	alertAccessDenied           alert = 49
	alertDecryptError           alert = 51
	alertProtocolVersion        alert = 70
	alertInsufficientSecurity   alert = 71
	alertInternalError          alert = 80
	alertCertificateRequired    alert = 116
)

// alertOf finds the alert that the other side has sent. crypto/tls keeps its
// type to itself, so only its representation can be asked.
func alertOf(err error) (alert, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
		return alert(v.Uint()), true
	}
	return 0, false
}

// String is the alert in words: "unknown certificate authority".
func (a alert) String() string {
	return strings.TrimPrefix(tls.AlertError(a).Error(), "tls: ")
}

// aboutCertificate says whether an alert refuses our certificate. Servers that
// wanted one also say handshake_failure when they get none (OpenSSL, TLS 1.2).
func (a alert) aboutCertificate(asked bool) bool {
	switch a {
	case alertBadCertificate, alertUnsupportedCertificate, alertCertificateRevoked, alertCertificateExpired,
		alertCertificateUnknown, alertUnknownCA, alertAccessDenied, alertDecryptError, alertCertificateRequired:
		return true
	case alertHandshakeFailure:
		return asked
	}
	return false
}

// pythonName is the name of an alert in Python's ssl module.
func (a alert) pythonName() string {
	switch a {
	case alertHandshakeFailure:
		return "SSLV3_ALERT_HANDSHAKE_FAILURE"
	case alertBadCertificate:
		return "SSLV3_ALERT_BAD_CERTIFICATE"
	case alertUnsupportedCertificate:
		return "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"
	case alertCertificateRevoked:
		return "SSLV3_ALERT_CERTIFICATE_REVOKED"
	case alertCertificateExpired:
		return "SSLV3_ALERT_CERTIFICATE_EXPIRED"
	case alertCertificateUnknown:
		return "SSLV3_ALERT_CERTIFICATE_UNKNOWN"
	case alertUnknownCA:
		return "TLSV1_ALERT_UNKNOWN_CA"
	case alertAccessDenied:
		return "TLSV1_ALERT_ACCESS_DENIED"
	case alertDecryptError:
		return "TLSV1_ALERT_DECRYPT_ERROR"
	case alertProtocolVersion:
		return "TLSV1_ALERT_PROTOCOL_VERSION"
	case alertInsufficientSecurity:
		return "TLSV1_ALERT_INSUFFICIENT_SECURITY"
	case alertInternalError:
		return "TLSV1_ALERT_INTERNAL_ERROR"
	case alertCertificateRequired:
		return "TLSV13_ALERT_CERTIFICATE_REQUIRED"
	}
	return ""
}

// PythonName is what the Python tenant would have called a failed connection,
// for scripts that look for it (TENANT-CLI.md F): "SSLError:
// TLSV1_ALERT_UNKNOWN_CA", "SSLError: CERTIFICATE_VERIFY_FAILED",
// "ConnectionError: Connection reset by peer", "ReadTimeout". It is "" for
// everything that is not about the connection.
func (e *Error) PythonName() string {
	switch e.Kind {
	case ServerUntrusted, ClientRefused:
		if a, ok := alertOf(e.Err); ok {
			return strings.TrimSuffix("SSLError: "+a.pythonName(), ": ")
		}
		if d := (*distrust)(nil); errors.As(e.Err, &d) {
			return "SSLError: CERTIFICATE_VERIFY_FAILED"
		}
		if errors.Is(e.Err, syscall.ECONNRESET) {
			return "SSLError: Connection reset by peer"
		}
		return "SSLError"
	case Unreachable:
		switch {
		case errors.Is(e.Err, syscall.ECONNRESET):
			return "ConnectionError: Connection reset by peer"
		case errors.Is(e.Err, syscall.ECONNREFUSED):
			return "ConnectionError: Connection refused"
		}
		return "ConnectionError"
	case TimedOut:
		return "ReadTimeout"
	}
	return ""
}

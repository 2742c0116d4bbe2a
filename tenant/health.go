package tenant

import (
	"fmt"
	"time"

	"github.com/keylime/keylime-tenant/client/verifier"
)

// Health is our word for how the attestation of an agent goes. Unlike the
// verifier's PASS it needs an accepted quote, and a recent one (USERS.md 1.2).
type Health string

// The words for health.
const (
	// HealthHealthy: a quote has been accepted, and the next is not overdue.
	HealthHealthy Health = "healthy"
	// HealthPending: no quote has been accepted yet.
	HealthPending Health = "pending"
	// HealthStale: the last accepted quote is older than allowed.
	HealthStale Health = "stale"
	// HealthFailed: the verifier has refused a quote or lost the agent.
	HealthFailed Health = "failed"
	// HealthLate: an agent of the push model has not come in time.
	HealthLate Health = "late"
	// HealthUnmonitored: registered, but not enrolled with the verifier.
	HealthUnmonitored Health = "unmonitored"
	// HealthOrphan: enrolled, but not registered; its attestation goes well or
	// has yet to begin, otherwise the word for that is used.
	HealthOrphan Health = "orphan"
	// HealthStopped: the verifier no longer asks, because a tenant told it so.
	HealthStopped Health = "stopped"
	// HealthEnding: the enrolment is about to be removed.
	HealthEnding Health = "ending"
	// HealthUnknown: a server that would tell could not be asked.
	HealthUnknown Health = "unknown"
)

// Healths are all words with what they mean, the worst first, which is the
// order in which agents are listed.
func Healths() []struct {
	Health  Health
	Meaning string
} {
	return []struct {
		Health  Health
		Meaning string
	}{
		{HealthFailed, "the verifier has refused a quote or lost the agent"},
		{HealthStale, "the last good quote is older than allowed"},
		{HealthLate, "an agent of the push model has not come in time"},
		{HealthStopped, "the verifier was told to stop attesting it"},
		{HealthUnknown, "a server that would tell could not be asked"},
		{HealthOrphan, "enrolled, but not known to the registrar"},
		{HealthUnmonitored, "registered, but not enrolled with the verifier"},
		{HealthEnding, "the verifier is about to remove it"},
		{HealthPending, "no quote has been accepted yet"},
		{HealthHealthy, "quotes are accepted, and the next is not overdue"},
	}
}

// rank is the place of a word in [Healths]; an unknown word comes first.
func (h Health) rank() int {
	for i, known := range Healths() {
		if known.Health == h {
			return i
		}
	}
	return -1
}

// Words of attestation_status that decisions hang on (PROTOCOL.md 4.2).
const (
	statusPass    = "PASS"
	statusFail    = "FAIL"
	statusTimeout = "TIMEOUT"
)

// skew is how far a time of the verifier may lie in the future before the
// clocks are said to differ.
const skew = 5 * time.Second

// push says that an agent attests of its own accord: the verifier then shows
// no state or no address (PROTOCOL.md 4.1).
func push(a *verifier.Agent) bool { return a.State == verifier.NoState || a.IP == nil && a.Port == nil }

// Judge says how an enrolled agent is, and why, from the verifier's record of
// it at a time: the state first, then whether any quote was accepted, then
// whether the last one is too old. Too old is older than maxAge, or with
// maxAge 0 than twice the maximum_attestation_interval (twice, since clocks
// differ and a poll may be under way). reason is one sentence without a period;
// it may hold text of the verifier, quoted.
func Judge(a *verifier.Agent, now time.Time, maxAge time.Duration) (h Health, reason string) {
	return judge(a, ageOf(a, now), maxAge)
}

// ageOf is how long ago the last good quote of an agent was accepted, by this
// machine's clock. It means nothing before the first.
func ageOf(a *verifier.Agent, now time.Time) time.Duration {
	return now.Sub(time.Unix(a.LastSuccessfulAttestation, 0))
}

func judge(a *verifier.Agent, age, maxAge time.Duration) (h Health, reason string) {
	switch {
	case a.State == verifier.TenantQuoteFailed:
		return HealthStopped, "the verifier was told to stop attesting it"
	case a.State == verifier.Terminated:
		return HealthEnding, "the verifier is about to remove it"
	case a.State == verifier.Failed, a.State == verifier.InvalidQuote, a.AttestationStatus == statusFail:
		if reason = DescribeEvent(eventID(a)); reason == "" {
			reason = unexplained(a)
		}
		return HealthFailed, reason
	case a.AttestationStatus == statusTimeout:
		return HealthLate, "it has not attested itself in time" + within(a.MaximumAttestationInterval)
	case a.AttestationCount == 0:
		return HealthPending, pendingReason(a)
	}
	return judgeAge(a, age, maxAge)
}

// pendingReason says what is known of an agent that was never attested.
func pendingReason(a *verifier.Agent) string {
	switch {
	case a.State == verifier.GetQuoteRetry:
		return "never attested: the verifier does not reach it"
	case a.AttestationStatus == statusPass:
		return "never attested: the verifier says PASS, but has accepted no quote yet"
	case push(a):
		return "never attested: it has not come yet"
	}
	return "never attested: the verifier has accepted no quote yet"
}

// judgeAge holds the age of the last good quote against what is allowed.
func judgeAge(a *verifier.Agent, age, maxAge time.Duration) (Health, string) {
	limit, err := time.ParseDuration(a.MaximumAttestationInterval)
	switch {
	case age < -skew:
		return HealthHealthy, "its last good quote is dated in the future: the clocks of this machine and of the verifier differ"
	case maxAge > 0 && age > maxAge:
		return HealthStale, fmt.Sprintf("its last good quote is older than the %v allowed", maxAge)
	case maxAge > 0 || err != nil || limit <= 0 || age <= 2*limit:
		return HealthHealthy, "quotes are accepted"
	case push(a):
		return HealthLate, "it has not attested itself in time" + within(a.MaximumAttestationInterval)
	}
	return HealthStale, fmt.Sprintf("no good quote for more than twice the verifier's maximum_attestation_interval of %v", limit)
}

// within says how long the verifier waits, "" if it does not tell.
func within(interval string) string {
	if d, err := time.ParseDuration(interval); err == nil && d > 0 {
		return fmt.Sprintf(": the verifier waits %v", d)
	}
	return ""
}

package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// After a failure a lane waits for firstPause, then twice as long each time up to lastPause, less up to a half of it, so that lanes and daemons do not
// come at the same time. A receiver that says Retry-After is given longer, up to maxRetryAfter.
const (
	firstPause    = time.Second
	lastPause     = time.Minute
	maxRetryAfter = 5 * time.Minute
)

// maxAnswer is how much of an answer's body is read, and thrown away, so that the connection can be used again.
const maxAnswer = 16 << 10

// work sends the events of one lane until ctx has ended and none is left. attempts ends later than ctx: it cuts off what is under way.
func (s *Sender) work(ctx, attempts context.Context, l *lane) {
	failures := 0 // attempts since the last that was answered for good
	for {
		w, ok := s.queue.first(ctx, l)
		if !ok {
			return
		}
		pause := s.deliver(ctx, attempts, w, &failures)
		s.queue.done(l)
		sleep(ctx, pause)
	}
}

// deliver tries one event until it is taken, refused or given up, and says how long the receiver is to be left alone then.
func (s *Sender) deliver(ctx, attempts context.Context, w waiting, failures *int) (pause time.Duration) {
	body, err := json.Marshal(w.Event)
	if err != nil {
		s.giveUp(w, 0, err)
		return 0
	}
	for n := 1; ; n++ {
		failure := s.attempt(attempts, w.ID, body)
		s.droppedLog.Do(s.tellDropped)
		if failure == nil {
			*failures = 0
			s.delivered.Add(1)
			return 0
		}
		s.log.Debug("webhook not delivered", "to", s.origin, "id", w.ID, "attempt", n, "error", failure)
		if failure.final {
			*failures = 0
			s.giveUp(w, n, failure)
			return 0
		}
		if ctx.Err() != nil {
			s.dropped.Add(1)
			return 0
		}
		*failures++
		pause = backoff(*failures)
		left := time.Until(w.deadline)
		wait := max(min(pause, left), failure.retryAfter)
		if left <= 0 || wait > left {
			s.giveUp(w, n, failure)
			return max(pause, failure.retryAfter)
		}
		sleep(ctx, wait)
	}
}

func (s *Sender) giveUp(w waiting, attempts int, why error) {
	s.failed.Add(1)
	s.failedLog.Do(func() {
		s.log.Warn("webhook given up (repeated lines are left out)", "to", s.origin, "id", w.ID, "type", w.Type, "room", w.Room.Name, "attempts", attempts, "error", why)
	})
}

// backoff is the pause after the nth failure in a row, counted from 1.
func backoff(n int) time.Duration {
	pause := lastPause
	if n < 7 { // 2^6 seconds are more than lastPause
		pause = min(firstPause<<(n-1), lastPause)
	}
	return pause - rand.N(pause/2+1)
}

// sleep ends early when ctx does.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// failure is why an attempt did not deliver.
type failure struct {
	why        error
	final      bool          // another attempt would be answered alike
	retryAfter time.Duration // what the receiver asks for
}

func (f *failure) Error() string { return f.why.Error() }

// attempt sends one request. It returns nil when the receiver has taken the event.
func (s *Sender) attempt(ctx context.Context, id string, body []byte) *failure {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return &failure{why: withoutURL(err), final: true}
	}
	now := time.Now()
	timestamp := strconv.FormatInt(now.Unix(), 10)
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", "maitred")
	q.Header.Set("Webhook-Id", id)
	q.Header.Set("Webhook-Timestamp", timestamp)
	q.Header.Set("Webhook-Signature", "v1,"+signature(s.key, id, timestamp, body))
	answer, err := s.client.Do(q)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v", s.timeout)
		}
		return &failure{why: withoutURL(err)}
	}
	// What the receiver says beside the status changes nothing, nor does it when the rest of that cannot be read.
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	_ = answer.Body.Close()
	return judge(answer, now)
}

// signature is that of Standard Webhooks, version 1.
func signature(key []byte, id, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "%s.%s.%s", id, timestamp, body) // a hash takes everything
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// judge returns nil for an answer that takes the event. Of the answers that do not, those are final that say the request itself is wrong.
func judge(answer *http.Response, now time.Time) *failure {
	code := answer.StatusCode
	why := errors.New("answered with " + strconv.Itoa(code) + " " + http.StatusText(code))
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return &failure{why: fmt.Errorf("%w, which is not followed: webhooks.url must be the address itself", why)}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code < 400, code >= 500:
		return &failure{why: why, retryAfter: retryAfter(answer.Header.Get("Retry-After"), now)}
	}
	return &failure{why: why, final: true}
}

// retryAfter reads both forms of RFC 9110 section 10.2.3; what is neither, or in the past, asks for nothing.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// withoutURL drops the URL that net/http and net/url put into their errors: its query may hold a secret.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// clientOf returns a client that follows no redirects: the signed event is for the receiver that was named.
func clientOf(given *http.Client) *http.Client {
	client := &http.Client{}
	if given != nil {
		*client = *given
	}
	if client.Transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = lanes
		transport.MaxResponseHeaderBytes = 64 << 10
		client.Transport = transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

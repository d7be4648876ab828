package watch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// services sends to webhooks, and to the services of the notification library.
type services struct {
	webhooks *http.Client
	guarded  *http.Client // for hosts of a tenant's choice
	library  library
}

func newServices() *services {
	// A redirect would carry the message, and its signature, to a place that nobody has named.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &services{
		webhooks: &http.Client{CheckRedirect: stay, Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 10, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		}},
		guarded: &http.Client{CheckRedirect: stay, Transport: guarded()},
	}
}

// Send implements Sender.
func (s *services) Send(ctx context.Context, t Target, m *Message) error {
	u, err := url.Parse(t.URL)
	if err != nil || u.Scheme == "" {
		return errors.New("its url is none, expected SCHEME://…") // the parser's error repeats it
	}
	switch u.Scheme {
	case flow.SchemeHTTP, flow.SchemeHTTPS:
		return s.post(ctx, t, m)
	}
	if t.Sign != "" {
		return fmt.Errorf("sign is for webhooks, and its url is one of %s", u.Scheme)
	}
	return s.library.send(t.URL, m)
}

// post sends a webhook, signed as the Standard Webhooks specification says where there is a secret to sign with.
func (s *services) post(ctx context.Context, t Target, m *Message) error {
	body, err := m.body()
	if err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("its url is none")
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "uniflow")
	request.Header.Set("Webhook-Id", m.ID)
	request.Header.Set("Webhook-Timestamp", stamp)
	if t.Sign != "" {
		signature, err := sign(t.Sign, m.ID, stamp, body)
		if err != nil {
			return err
		}
		request.Header.Set("Webhook-Signature", signature)
	}
	client := s.webhooks
	if t.Guarded {
		client = s.guarded
	}
	response, err := client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the URL
		}
		return err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can serve again
	return judged(response)
}

// judged says what an answer means.
func judged(r *http.Response) error {
	code := r.StatusCode
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return fmt.Errorf("it answers with a redirect (HTTP %d), which is not followed; write the address that it leads to", code)
	case code == http.StatusGone:
		return &refusal{message: "it is gone (HTTP 410)", forever: true}
	}
	wait, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || wait < 0 || wait > int(longestWait.Seconds()) {
		wait = 0
	}
	return &refusal{message: fmt.Sprintf("it answers with HTTP %d", code), after: time.Duration(wait) * time.Second}
}

// sign returns the signatures of a message, one for each of the secrets, which are parted by blanks: two while one
// takes the place of the other.
func sign(secrets, id, stamp string, body []byte) (string, error) {
	var all []string
	for text := range strings.FieldsSeq(secrets) {
		key, err := flow.SigningKey(text)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " "), nil
}

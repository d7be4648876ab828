package service

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const (
	maxBody     = 8 << 20 // bytes of a request's body, of a response's, and of the answer that holds it
	maxHeaders  = 64      // headers of a request
	maxSent     = 32 << 10
	requestTime = 30 * time.Second
	maxTime     = 15 * time.Minute
)

// httpRequest is the request of http.request.
type httpRequest struct {
	Method     string            `json:"method"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body"`
	BodyBase64 *string           `json:"body_base64"`
	TimeoutMS  int64             `json:"timeout_ms"`
	Artifact   string            `json:"artifact"`
}

// httpResponse is its answer; exactly one of the last three is set.
type httpResponse struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body,omitempty"`
	BodyBase64 *string           `json:"body_base64,omitempty"`
	Artifact   *flow.ArtifactRef `json:"artifact,omitempty"`
}

// requestHTTP serves http.request.
func (h *host) requestHTTP(ctx context.Context, request, body []byte) ([]byte, error) {
	var req httpRequest
	if err := decode(request, &req); err != nil {
		return nil, err
	}
	out, err := req.outgoing(body)
	if err != nil {
		return nil, err
	}
	limit := requestTime
	if req.TimeoutMS > 0 {
		limit = time.Duration(min(req.TimeoutMS, maxTime.Milliseconds())) * time.Millisecond
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := h.exchange(limited, out, req.Artifact)
	switch {
	case err == nil || limited.Err() == nil:
		return answer, err
	case ctx.Err() != nil:
		return nil, refuse(abi.Cancelled, "the attempt is being stopped", "")
	}
	return nil, refuse(abi.Unavailable, fmt.Sprintf("%s gave no whole answer within %s", out.name(), limit), "raise timeout_ms of the request, or ask for less")
}

// exchange sends a request and returns the answer for the guest.
func (h *host) exchange(ctx context.Context, out *outgoing, artifact string) ([]byte, error) {
	resp, err := h.client.follow(ctx, out)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := h.client.body(resp, out)
	if err != nil {
		return nil, err
	}
	answer := httpResponse{Status: resp.StatusCode, Headers: h.headers(resp.Header)}
	if artifact != "" {
		err = h.keep(ctx, &answer, artifact, content, out)
	} else {
		err = h.inline(&answer, content, out)
	}
	if err != nil {
		return nil, err
	}
	doc, err := encodePlain(answer)
	if err == nil && len(doc) > maxBody {
		err = tooLarge(out)
	}
	return doc, err
}

func tooLarge(out *outgoing) error {
	return refuse(abi.TooLarge, fmt.Sprintf("the answer of %s is larger than %s", out.name(), flow.Size(maxBody)), `have it stored: add "artifact": "NAME" to the request`)
}

// inline reads the body into the answer.
func (h *host) inline(answer *httpResponse, content io.Reader, out *outgoing) error {
	b, err := io.ReadAll(io.LimitReader(content, maxBody+1))
	if err != nil {
		return broken(out, err)
	}
	if len(b) > maxBody {
		return tooLarge(out)
	}
	text := h.vault.bound.Text(string(b))
	if utf8.ValidString(text) {
		answer.Body = &text
		return nil
	}
	coded := base64.StdEncoding.EncodeToString([]byte(text))
	answer.BodyBase64 = &coded
	return nil
}

// keep stores the body as an artifact.
func (h *host) keep(ctx context.Context, answer *httpResponse, name string, content io.Reader, out *outgoing) error {
	ref, err := h.Artifact(ctx, name, answer.Headers["content-type"], h.vault.bound.Reader(content))
	switch _, own := errors.AsType[*flow.ServiceError](err); {
	case errors.Is(err, flow.ErrTooLarge):
		return artifactsFull(h.attempt.Call.Limits.Artifacts)
	case own:
		return err
	case err != nil:
		return broken(out, err)
	}
	answer.Artifact = &ref
	return nil
}

// headers are those of a response that a guest sees: none that says how it was carried, and no secret.
func (h *host) headers(from http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range from {
		name = strings.ToLower(name)
		if slices.Contains([]string{"connection", "content-encoding", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"}, name) || h.vault.bound.Hides(name) {
			continue
		}
		out[strings.ToValidUTF8(name, "?")] = h.vault.bound.Text(strings.ToValidUTF8(strings.Join(values, ", "), "?"))
	}
	return out
}

// outgoing checks what the guest asks for.
func (r *httpRequest) outgoing(written []byte) (*outgoing, error) {
	out := &outgoing{method: r.Method, header: http.Header{}, own: map[string]bool{}}
	if out.method == "" {
		out.method = http.MethodGet
	}
	if !slices.Contains(egress.Methods(), out.method) {
		return nil, refuse(abi.Invalid, fmt.Sprintf("%q is no method that a guest may use", clean(out.method, maxShown)), "use "+strings.Join(egress.Methods(), ", "))
	}
	u, err := egress.ParseURL(r.URL)
	if err != nil {
		return nil, invalid(fmt.Sprintf("the URL %q is refused: ", clean(r.URL, maxShown)), err)
	}
	out.url, out.first = u, u
	if err := out.setHeaders(r.Headers); err != nil {
		return nil, err
	}
	return out, out.setBody(r, written)
}

// maxShown bounds what a message repeats of a request.
const maxShown = 200

// invalid is a refusal in the words of a *egress.Mistake.
func invalid(prefix string, err error) error {
	hint := ""
	if m, ok := errors.AsType[*egress.Mistake](err); ok {
		hint = m.Help
	}
	return refuse(abi.Invalid, prefix+err.Error(), hint)
}

func (o *outgoing) setHeaders(headers map[string]string) error {
	if len(headers) > maxHeaders {
		return refuse(abi.TooLarge, fmt.Sprintf("the request has %d headers, at most %d", len(headers), maxHeaders), "")
	}
	sum := 0
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := headers[name]
		if err := egress.CheckHeader(name, value); err != nil {
			return invalid("", err)
		}
		key := egress.HeaderKey(name)
		if o.own[key] {
			return refuse(abi.Invalid, fmt.Sprintf("the header %s stands twice", key), "join the values by a comma")
		}
		o.own[key] = true
		o.header[http.CanonicalHeaderKey(name)] = []string{value}
		if sum += len(name) + len(value); sum > maxSent {
			return refuse(abi.TooLarge, fmt.Sprintf("the headers of the request have more than %s", flow.Size(maxSent)), "")
		}
	}
	return nil
}

func (o *outgoing) setBody(r *httpRequest, written []byte) error {
	sources := 0
	if r.Body != nil {
		sources++
		o.body = []byte(*r.Body)
	}
	if r.BodyBase64 != nil {
		sources++
		b, err := base64.StdEncoding.DecodeString(*r.BodyBase64)
		if err != nil {
			return refuse(abi.Invalid, "body_base64 is no base64", "use the standard alphabet with padding, or call_write")
		}
		o.body = b
	}
	if len(written) > 0 {
		sources++
		o.body = written
	}
	switch {
	case sources > 1:
		return refuse(abi.Invalid, "the request has more than one body", "use one of body, body_base64 and call_write")
	case len(o.body) > maxBody:
		return refuse(abi.TooLarge, fmt.Sprintf("the body of the request has %d bytes, at most %s", len(o.body), flow.Size(maxBody)), "")
	}
	return nil
}

// encodePlain is encode without the escapes for HTML, which would make a page six times as long.
func encodePlain(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

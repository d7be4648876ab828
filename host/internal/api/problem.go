package api

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// ErrorBody is an error as a body, application/problem+json (RFC 9457; without a type, which means about:blank), with the
// code and the next action of flow.Error, and the mistakes of a manifest or context where there are any.
type ErrorBody struct {
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Code     flow.Code      `json:"code,omitempty"`
	Hint     string         `json:"hint,omitempty"`
	Problems []flow.Problem `json:"problems,omitempty"`
	// Errors are what is wrong with a request that is not well formed, by place.
	Errors []*huma.ErrorDetail `json:"errors,omitempty"`
}

// describeErrors gives every operation this type as the body of its errors.
func describeErrors(doc *huma.OpenAPI, op *huma.Operation) {
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[ErrorBody](), true, "ErrorBody")
	op.Responses["default"] = &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{problemType: {Schema: schema}}}
}

// mostPlaces bounds the places that the detail of a malformed request names.
const mostPlaces = 5

// malformed gives huma's own errors, about requests that are not well formed, the code and next action of all others,
// and leaves out the values: the client has them, and they may be large.
func malformed(c huma.Context, _ string, answer any) (any, error) {
	m, ok := answer.(*huma.ErrorModel)
	if !ok {
		return answer, nil
	}
	if m.Detail == unreadable {
		m.Status, m.Title = http.StatusBadRequest, http.StatusText(http.StatusBadRequest)
		c.SetStatus(m.Status) // huma sets its own after this, but the first one stands
	}
	p := &ErrorBody{Title: m.Title, Status: m.Status, Detail: m.Detail, Code: flow.CodeRequest, Hint: "GET /openapi.json describes what is expected", Errors: m.Errors}
	for i, e := range m.Errors {
		e.Value = nil
		if i < mostPlaces {
			p.Detail += "; " + strings.TrimPrefix(e.Location+": "+e.Message, ": ")
		}
	}
	return p, nil
}

// unreadable is what huma says, with a status of 500, of a body that breaks off or is not framed well.
const unreadable = "cannot read request body"

// problemType is the media type of errors.
const problemType = "application/problem+json"

// Error returns the detail.
func (p *ErrorBody) Error() string { return p.Detail }

// GetStatus gives huma the status.
func (p *ErrorBody) GetStatus() int { return p.Status }

// ContentType gives huma the media type.
func (*ErrorBody) ContentType(string) string { return problemType }

// problem turns an error of flow.Control into a body. What is not known to be for people is not shown.
func (r routes) problem(err error) error {
	if err == nil {
		return nil
	}
	p := newProblem(err, statusOf(err))
	if p.Status == http.StatusInternalServerError {
		r.log.Error("request failed", slog.Any("err", err))
	}
	return p
}

func newProblem(err error, status int) *ErrorBody {
	p := &ErrorBody{Title: http.StatusText(status), Status: status, Detail: err.Error(), Code: flow.CodeOf(err)}
	if e, ok := errors.AsType[*flow.Error](err); ok {
		p.Hint = e.Hint
	}
	if list, ok := errors.AsType[flow.Problems](err); ok {
		p.Detail, p.Problems = "the input has mistakes", list
	}
	if p.Code == "" && status == http.StatusInternalServerError {
		p.Detail = "a fault of the host; its log holds the details"
	}
	return p
}

func statusOf(err error) int {
	if errors.Is(err, flow.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return http.StatusNotFound
	}
	if _, ok := errors.AsType[flow.Problems](err); ok {
		return http.StatusUnprocessableEntity
	}
	switch flow.CodeOf(err) {
	case flow.CodeExists, flow.CodeRunEnded, flow.CodeWritten, flow.CodeReadOnly, flow.CodeRerun, flow.CodeMatch, flow.CodeReviewed:
		return http.StatusConflict
	case flow.CodeUnauthorized:
		return http.StatusUnauthorized
	case flow.CodeForbidden:
		return http.StatusForbidden
	case flow.CodeRefused, flow.CodeQuota, flow.CodeRate:
		return http.StatusTooManyRequests
	case flow.CodeStopping:
		return http.StatusServiceUnavailable
	case "":
	default:
		if code := flow.CodeOf(err); code < "UF2" || code == flow.CodeRequest {
			return http.StatusUnprocessableEntity
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// writeError answers outside of huma.
func writeError(w http.ResponseWriter, err error, status int) {
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(newProblem(err, status)) //nolint:errchkjson // a client that is gone
}

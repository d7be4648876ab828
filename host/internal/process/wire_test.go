package process

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// fill gives every field of a value something that is not its zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Date(2026, 11, 23, 10, 0, 0, 5, time.FixedZone("", 3600))
		return
	case *json.RawMessage:
		*x = json.RawMessage(`{"a": [1.50, "<&>"]}`)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field)
		}
	case reflect.String:
		v.SetString("grüß")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0))
		fill(t, v.Index(1))
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(t, value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("name"), value)
	default:
		t.Fatalf("no value for %s", v.Type())
	}
}

// TestWholeCallReachesAWorker fails when a call gets a field that the wire does not carry.
func TestWholeCallReachesAWorker(t *testing.T) {
	t.Parallel()
	var call flow.Call
	fill(t, reflect.ValueOf(&call).Elem())
	request, fault := encodeCall(&call)
	if fault != nil {
		t.Fatal(fault)
	}
	got, err := decodeCall(request)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, call) {
		t.Errorf("got\n%+v\nwant\n%+v", got, call)
	}
	request.Run.Deadline = []byte("soon")
	if _, err := decodeCall(request); err == nil {
		t.Error("an instant that is none was taken")
	}
	request, fault = encodeCall(&flow.Call{})
	if fault != nil {
		t.Fatal(fault)
	}
	if got, err = decodeCall(request); err != nil || got.Context.IntervalStart != nil || got.Context.ItemIndex != nil || !got.Context.Deadline.IsZero() {
		t.Errorf("an empty call became %+v, %v", got, err)
	}
}

func TestCallThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	_, fault := encodeCall(&flow.Call{Stdin: make([]byte, workerMessage)})
	if fault == nil || fault.Reason != flow.ReasonOutputLimit {
		t.Errorf("got %v, want %s", fault, flow.ReasonOutputLimit)
	}
}

package trace

import (
	"strconv"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// wanted says whether the environment asks for traces, as OpenTelemetry's specification has it, except that they are off
// where no endpoint is named.
func wanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "", "otlp":
	default:
		return false, wrong("OTEL_TRACES_EXPORTER", exporter, "otlp or none")
	}
	if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return false, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch protocol := getenv(name); protocol {
		case "":
			continue
		case "http/protobuf":
			return true, nil
		default:
			return false, wrong(name, protocol, "http/protobuf")
		}
	}
	return true, nil
}

// samplerOf is the sampler that the environment names. No run has a parent, so that the two kinds of each are one.
func samplerOf(getenv func(string) string) (sdk.Sampler, error) {
	name := getenv("OTEL_TRACES_SAMPLER")
	switch strings.TrimPrefix(name, "parentbased_") {
	case "", "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	case "traceidratio":
		text := getenv("OTEL_TRACES_SAMPLER_ARG")
		if text == "" {
			return sdk.AlwaysSample(), nil
		}
		ratio, err := strconv.ParseFloat(text, 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, wrong("OTEL_TRACES_SAMPLER_ARG", text, "a number from 0 to 1")
		}
		return sdk.TraceIDRatioBased(ratio), nil
	}
	return nil, wrong("OTEL_TRACES_SAMPLER", name, "always_on, always_off or traceidratio")
}

func wrong(name, found, expected string) error {
	return &flow.Error{Code: flow.CodeUsage, Op: "trace runs", Message: name + " is " + strconv.Quote(found) + ", expected " + expected, Hint: "OTEL_TRACES_EXPORTER=none turns traces off"}
}

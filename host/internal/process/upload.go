package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// upload is an artifact whose pieces are coming in. They are stored as they come, at the pace of the store.
type upload struct {
	name   string
	pieces *io.PipeWriter
	stored chan stored
}

type stored struct {
	ref flow.ArtifactRef
	err error
}

var errDropped = errors.New("the artifact was not completed")

// piece takes the next piece of an artifact. The last one sets the output of its name.
func (a *attempt) piece(ctx context.Context, p *proto.Artifact) *flow.Fault {
	if p.GetAbort() {
		a.dropFile()
		return nil
	}
	if a.file == nil {
		if name := p.GetName(); name == "" || len(name) > abi.MaxOutputName {
			return &flow.Fault{Reason: flow.ReasonOutput, Message: fmt.Sprintf("the name of an artifact has %d bytes, expected 1 to %d", len(name), abi.MaxOutputName)}
		}
		a.file = startUpload(ctx, a.host, p.GetName(), p.GetType())
	}
	if a.file.name != p.GetName() {
		return &flow.Fault{Reason: flow.ReasonOutput, Message: fmt.Sprintf("artifact %.40q began before artifact %.40q was complete", p.GetName(), a.file.name)}
	}
	_, err := a.file.pieces.Write(p.GetData())
	if err == nil && !p.GetEnd() {
		return nil
	}
	file := a.file
	a.file = nil
	_ = file.pieces.Close()
	result := <-file.stored
	if result.err != nil {
		return artifactFault(ctx, file.name, result.err)
	}
	reference, err := json.Marshal(result.ref)
	if err != nil {
		return artifactFault(ctx, file.name, err)
	}
	return a.output(file.name, reference)
}

// startUpload hands the pieces on to the store on a goroutine that ends with the artifact, or with ctx.
func startUpload(ctx context.Context, host flow.HostCalls, name, mediaType string) *upload {
	r, w := io.Pipe()
	u := &upload{name: name, pieces: w, stored: make(chan stored, 1)}
	go func() {
		ref, err := host.Artifact(ctx, name, mediaType, untilDone{ctx, r})
		_ = r.CloseWithError(errors.Join(io.ErrClosedPipe, err))
		u.stored <- stored{ref, err}
	}()
	return u
}

// dropFile ends an artifact that was not completed; nothing of it is kept.
func (a *attempt) dropFile() {
	if a.file == nil {
		return
	}
	_ = a.file.pieces.CloseWithError(errDropped)
	<-a.file.stored
	a.file = nil
}

func artifactFault(ctx context.Context, name string, err error) *flow.Fault {
	if fault := flow.EndFault(ctx); fault != nil {
		return fault
	}
	if errors.Is(err, flow.ErrTooLarge) {
		return &flow.Fault{
			Reason: flow.ReasonOutputLimit, Message: fmt.Sprintf("with artifact %.40q the artifacts exceed limits.artifacts", name),
			Hint: "raise limits.artifacts of the step", Err: err,
		}
	}
	if full, ok := errors.AsType[*flow.ServiceError](err); ok && full.Errno == int(abi.Quota) {
		return &flow.Fault{Reason: flow.ReasonQuota, Message: fmt.Sprintf("artifact %.40q: %s", name, full.Message), Hint: full.Hint}
	}
	return &flow.Fault{Reason: flow.ReasonInternal, Message: fmt.Sprintf("artifact %.40q cannot be stored", name), Err: err}
}

package flow

// ServiceFile is a file for a service manager or an orchestrator.
type ServiceFile struct {
	// Path is relative to the folder that the file belongs in.
	Path string `json:"path"`
	// Text is left out where the file was written.
	Text string `json:"text,omitempty"`
}

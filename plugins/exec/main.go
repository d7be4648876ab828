// Program exec is a process plugin that runs a command, as cron does, with what cron lacks: no shell unless one is asked
// for, a folder of its own, bounds on what it prints, exit codes that say whether to try again, and an end for all that
// it started.
package main

import (
	"encoding/json"
	"os"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == guardArg {
		guard()
	}
	process.Serve(process.Plugin{
		Descriptor: abi.Descriptor{
			Name: "exec", Version: "1.0.0", Description: "Runs a command with the rights of the host's user.",
			Functions: map[string]abi.Function{"run": {
				Description: "Runs one command to its end.", With: json.RawMessage(withSchema), Outputs: json.RawMessage(outputsSchema),
			}},
		},
		Functions: map[string]process.Func{"run": run},
	})
}

const withSchema = `{
  "type": "object", "additionalProperties": false,
  "properties": {
    "command": {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "The program and its arguments; no shell reads them."},
    "shell": {"type": "string", "minLength": 1, "description": "A script for the shell of the system, instead of command."},
    "env": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Variables of the command, by name."},
    "secrets": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Variables that hold a secret: the secret's name, by the variable's."},
    "stdin": {"description": "Text, an artifact, or any other value as JSON."},
    "stdout": {"enum": ["", "json", "text", "log", "artifact"], "description": "How to read standard output."},
    "type": {"type": "string", "description": "The media type of the artifact that standard output becomes."},
    "artifacts": {"type": "array", "items": {"type": "string"}, "description": "Files that the command writes to its folder and that are kept."},
    "timeout": {"type": "string", "description": "When the command is ended, such as 90s. Defaults to the deadline of the step."},
    "grace": {"type": "string", "description": "From the request to end to the kill. Defaults to 1s."},
    "max_output": {"type": "integer", "minimum": 1, "description": "Bytes of standard output. Defaults to 1 MiB, for an artifact to 64 MiB."}
  },
  "oneOf": [{"required": ["command"]}, {"required": ["shell"]}]
}`

const outputsSchema = `{
  "type": "object",
  "description": "The members of the JSON object on standard output; or stdout, for text and for an artifact; or result, for other JSON. And each file of artifacts, by its name."
}`

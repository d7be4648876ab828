package flow

// UF6xxx: command line.
const (
	// CodeUsage: a command line is not understood.
	CodeUsage Code = "UF6001"
	// CodeWouldOverwrite: files that are there would be replaced.
	CodeWouldOverwrite Code = "UF6002"
	// CodeInput: a file or value given on the command line cannot be used.
	CodeInput Code = "UF6003"
	// CodeInterrupted: a signal ended the command.
	CodeInterrupted Code = "UF6004"
	// CodeWaitOver: a command waited as long as it was told to.
	CodeWaitOver Code = "UF6005"
	// CodeCutOff: an earlier run of the pipeline was cut off and waits for a host that takes it up.
	CodeCutOff Code = "UF6006"
	// CodeCase: a test case of a plugin has a mistake.
	CodeCase Code = "UF6007"
	// CodeDescription: the description of a plugin has a mistake.
	CodeDescription Code = "UF6008"
)

func cliCodes() []Explanation {
	return []Explanation{
		{CodeUsage, "The command line is not understood", "A verb or a flag is not known, an argument is missing or one too many, or a value has the wrong form. Nothing was done.\n\n`uniflow --help` lists the verbs, `uniflow VERB --help` the flags and arguments of one with examples."},
		{CodeWouldOverwrite, "Files would be replaced", "The command writes new files only, and files of these names are there already. None was written.\n\nChoose another folder, or move the files away first:\n\n    uniflow init demo"},
		{CodeInput, "A file or value cannot be used", "A file that the command line names cannot be read, or what it or a flag holds is not of the form that is needed: the context of a run is a JSON object, and `--set` takes NAME=VALUE.\n\n    uniflow run weather --set year=2013 --set station=seattle\n    echo '{\"year\": 2013}' | uniflow run weather --context -"},
		{CodeInterrupted, "Interrupted", "The command was ended by a signal, for example Ctrl-C. A run that it waited for was cancelled, and its record says so.\n\nA second signal ends the command at once; a run in the same process is then recorded as lost when a host next starts on the data folder."},
		{CodeWaitOver, "The wait is over", "The command waited as long as `--timeout` allows and then cancelled the run.\n\nWait longer, or do not wait at all: `uniflow run PIPELINE --detach` on a host that serves, then `uniflow runs show @last`."},
		{CodeCutOff, "An earlier run was cut off", "A pipeline has one live run at a time, and its last one never ended: the process that executed it died. Only a host that serves takes such a run up where it was cut off; a single `uniflow run` leaves it alone and cannot pass it.\n\nStart a host, which takes it up. If it shall not go on, ask for its end first:\n\n    uniflow runs cancel RUN\n    uniflow serve"},
		{CodeCase, "A test case has a mistake", "Each file of testdata is one call of a plugin and what is expected of it. A value in it does not have the form that is needed, or names something that is not there. No case was run.\n\nA case needs little; `uniflow plugin test --update` fills in what comes:\n\n    [with]\n    name = \"Ada\"\n\n    [expect.outputs]\n    greeting = \"Hello, Ada!\""},
		{CodeDescription, "The description of a plugin has a mistake", "The file that describes a plugin is a JSON object with name, version, description, functions and wants. `uniflow plugin pack` embeds it in the module as the custom section uniflow.plugin, and takes no key that hosts would not read and no function that the module does not export.\n\n    {\"name\": \"csv\", \"version\": \"1.0.0\", \"functions\": {\"rows\": {\"with\": {\"type\": \"object\"}}}}"},
	}
}

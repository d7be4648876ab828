package flow

// UF2xxx: plugins that cannot be loaded; UF4xxx: grants and sandbox.
const (
	CodeModuleFile       Code = "UF2001" // the plugin file cannot be read
	CodeNotWasm          Code = "UF2002" // the file is not a Wasm module
	CodeComponent        Code = "UF2003" // the file is a component, not a core module
	CodeExtism           Code = "UF2004" // the Extism plugin needs another host
	CodeMalformed        Code = "UF2005" // the module is malformed
	CodeModuleLimit      Code = "UF2006" // the module is too large
	CodeImports          Code = "UF2007" // the module imports what the host does not offer
	CodeNoEntry          Code = "UF2008" // the module has no entry
	CodeModuleDigest     Code = "UF2009" // the plugin's bytes are not those of the plan
	CodeCompile          Code = "UF2010" // the module does not compile
	CodeModuleCache      Code = "UF2012" // the cache of compiled modules cannot be used
	CodeFuncUnknown      Code = "UF2020" // no Go function of that name is registered
	CodeFuncRegister     Code = "UF2021" // the Go function cannot be registered
	CodeProcessFile      Code = "UF2101" // the program of the plugin cannot be used
	CodeProcessDigest    Code = "UF2102" // the program's bytes are not those of the plan
	CodeProcessFormat    Code = "UF2103" // the program is not for this machine
	CodeProcessHandshake Code = "UF2104" // the program is not a plugin
	CodeProcessVersion   Code = "UF2105" // the plugin speaks another version of the protocol
	CodeProcessStart     Code = "UF2106" // the plugin did not start in time
	CodeProcessHost      Code = "UF2107" // the host cannot run processes of plugins
	CodeWorkerStart      Code = "UF2108" // the host cannot start a worker
	CodeMount            Code = "UF4001" // a mounted folder cannot be opened
)

func pluginCodes() []Explanation {
	return []Explanation{
		{CodeModuleFile, "the plugin file cannot be read", "The path of the plugin leads to nothing, to a folder, or to a file that the host may not read. Paths are relative to the manifest.\n\n" +
			"Build the plugin (uniflow build) or correct the path, and see that the user of the host may read the file."},
		{CodeNotWasm, "the file is not a Wasm module", "A module begins with the four bytes 00 61 73 6d. The file is empty, holds text, or is a program of another kind.\n\n" +
			"A text module (.wat) must be translated first, for example by wat2wasm. A native program is a plugin of kind process: process = \"bin/name\"."},
		{CodeComponent, "the file is a component, not a core module", "The component model wraps core modules in a format that this version does not execute.\n\n" +
			"Build for the target wasip1 instead of wasip2, or take the core module out: wasm-tools component unbundle plugin.wasm --module-dir ."},
		{CodeExtism, "the Extism plugin needs another host", "Plugins that were built with a kit of Extism run as they are: the host offers all 32 functions of extism:host/env, and WASI preview 1. This one imports functions of the host that it was written for (extism:host/user), or of another module that is to be linked with it. The message lists them.\n\n" +
			"Build the plugin without them; what it needs of its host it can get by its input, its config (the step's with) and http_request."},
		{CodeMalformed, "the module is malformed", "The bytes break a rule of the Wasm format at the offset that the message names. Such a file was cut short, changed on its way, or made by a faulty tool.\n\n" +
			"Build it again, or download it again and compare the digest."},
		{CodeModuleLimit, "the module is too large", "A module has at most 64 MiB, 50,000 functions, 50,000 locals a function, and further bounds that keep a hostile file from using up the host; among them what compiling it would take, which grows faster than a function does. The message names the bound and the offset.\n\n" +
			"Strip debug information (wasm-strip, or the option of the compiler), build with optimisation, split a function that is too dear, or split the plugin."},
		{CodeImports, "the module imports what the host does not offer", "A module can import the functions of uniflow, of wasi_snapshot_preview1 and, as a plugin of Extism, of extism:host/env only. The message lists every other import with its signature. Services are no imports: they are reached by the function call of uniflow, so that an older host still loads a newer plugin.\n\n" +
			"Build for wasip1 without the library that needs the import; for AssemblyScript add --use abort=."},
		{CodeNoEntry, "the module has no entry", "The host calls _start of a command, or the function that a reactor exports beside the marker uniflow_abi_v1: no parameters, one result i32. A module that imports uniflow or exports an entry must export its memory as \"memory\".\n\n" +
			"For Go: GOOS=wasip1 GOARCH=wasm go build for a command, -buildmode=c-shared and //go:wasmexport for a reactor."},
		{CodeModuleDigest, "the plugin's bytes are not those of the plan", "A plan names the digest of each plugin. The file has changed since the plan was made, and nothing of it was executed.\n\n" +
			"Take the new bytes over (uniflow build, then start the host again), or restore the file."},
		{CodeCompile, "the module does not compile", "The module passed the checks of its form but breaks a rule of validation, or uses a proposal that the host does not enable (threads, tail calls, exceptions, garbage collection).\n\n" +
			"Build with the default features of the target wasip1."},
		{CodeModuleCache, "the cache of compiled modules cannot be used", "The host keeps compiled modules in a folder of its own under its data folder, readable by its user only.\n\n" +
			"See that the folder can be created and written, and that the disk is not full."},
		{CodeFuncUnknown, "no Go function of that name is registered", "A step of kind func names a function that the embedding program has not registered on its host.\n\n" +
			"Call Register with that name before the pipeline runs."},
		{CodeFuncRegister, "the Go function cannot be registered", "A function needs a name and code, and a name is taken once.\n\n" +
			"Register each function once, before the host starts."},
		{CodeProcessFile, "the program of the plugin cannot be used", "The path of a process plugin leads to nothing, to a folder, or to a file that the host may not read or that is not executable. Paths are relative to the manifest.\n\n" +
			"Build the plugin (uniflow build) or correct the path; chmod +x makes a file executable."},
		{CodeProcessDigest, "the program's bytes are not those of the plan", "A plan names the digest of each plugin. The file has changed since the plan was made, and nothing of it was executed: the host executes a copy of the very bytes that it has checked.\n\n" +
			"Take the new bytes over (uniflow build, then start the host again), or restore the file."},
		{CodeProcessFormat, "the program is not for this machine", "The operating system refused to execute the file: it was built for another system or processor, it is a script without a first line that names its interpreter, or the interpreter or loader that it names is missing.\n\n" +
			"Build for the system that the message names, for example GOOS=linux GOARCH=amd64 go build, and link statically where you can (CGO_ENABLED=0)."},
		{CodeProcessHandshake, "the program is not a plugin", "A process plugin says hello on standard output in the form of go-plugin, before anything else, and then answers over gRPC with TLS. The program printed something else, ended, or does not answer.\n\n" +
			"Call process.Serve of the Go kit in main and print nothing before it. An ordinary program is no process plugin; compiled for wasip1 it can be a Wasm plugin."},
		{CodeProcessVersion, "the plugin speaks another version of the protocol", "Host and plugin agree on a protocol version when the plugin starts. This host does not speak the plugin's.\n\n" +
			"Build the plugin with a kit of the host's version, or update the host."},
		{CodeProcessStart, "the plugin did not start in time", "A process plugin must answer within 10 seconds after its start. It has no standard input, an empty working folder, and only the environment that grant.env gives it.\n\n" +
			"Do slow work in the function and not before process.Serve. The message quotes what the program printed."},
		{CodeProcessHost, "the host cannot run processes of plugins", "The host keeps checked copies of programs in a folder of its own under its data folder and executes them there. The folder cannot be written, the disk is full, the file system does not allow programs (noexec), or the system refuses new processes.\n\n" +
			"The message names the cause. uniflow doctor shows what the machine offers."},
		{CodeWorkerStart, "the host cannot start a worker", "With isolation = \"worker\" modules run in processes of their own: the host starts its own program again and speaks to it. The program ended, did not answer in time, or went on as if it were started by a person.\n\n" +
			"A program that embeds the host calls host.WorkerMain() first in its main function, before flags are read or anything is printed. isolation = \"inline\" runs modules in the host process."},
		{CodeMount, "a mounted folder cannot be opened", "grant.mount maps a path of the guest to a folder or file of the host. That folder or file is missing or may not be read.\n\n" +
			"Create it, or correct the path; it is relative to the manifest."},
	}
}

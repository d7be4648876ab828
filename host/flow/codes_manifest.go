package flow

// UF10xx: the file and its TOML; UF11xx: the form of a manifest.
const (
	CodeFileUnreadable Code = "UF1001" // the file cannot be opened or read
	CodeFileKind       Code = "UF1002" // a folder, pipe or device stands where a file should
	CodeFileSize       Code = "UF1003" // more bytes than a manifest may have
	CodeFileEncoding   Code = "UF1004" // not UTF-8
	CodeFileNUL        Code = "UF1005" // a NUL byte in the file or a NUL character in a value
	CodeTooDeep        Code = "UF1006" // brackets inside brackets beyond the bound
	CodeKeyTooLong     Code = "UF1007" // a key or a path of keys has too many parts
	CodeTooMany        Code = "UF1008" // more keys, tables and list items than a manifest may have
	CodeSyntax         Code = "UF1010" // not TOML
	CodeDuplicate      Code = "UF1011" // a key or table stands twice
	CodeArrayOfTables  Code = "UF1012" // [[name]] where tables have names
	CodeMore           Code = "UF1099" // more mistakes than are shown

	CodeUnknownKey     Code = "UF1101" // no such key in this table
	CodeKeyCase        Code = "UF1102" // right key, wrong letter case
	CodeWrongType      Code = "UF1103" // another TOML type is expected
	CodeBadDuration    Code = "UF1104" // not the text of a duration
	CodeBadSize        Code = "UF1105" // not the text of a size
	CodeBadBackoff     Code = "UF1106" // not the text of a backoff
	CodeOutOfRange     Code = "UF1107" // below the minimum or above the maximum
	CodeNotOneOf       Code = "UF1108" // not one of the allowed words
	CodeEmptyText      Code = "UF1109" // a text that must say something is empty
	CodeMissingKey     Code = "UF1110" // a key that must be there is not
	CodeBadName        Code = "UF1111" // a name breaks the rule for names
	CodeBadPath        Code = "UF1112" // a path is absolute, leaves the folder or is not portable
	CodeBadVersion     Code = "UF1113" // version is missing or not 1
	CodeNoNumber       Code = "UF1114" // inf or nan, which JSON cannot hold
	CodePluginSource   Code = "UF1115" // a plugin has not exactly one of wasm, process and script
	CodeScriptEngine   Code = "UF1116" // script without engine or engine without script
	CodeStepSource     Code = "UF1117" // a step has not exactly one of plugin, wasm and process
	CodePipelineSource Code = "UF1118" // a pipeline has not either steps or exactly one module
	CodeOnlyOneModule  Code = "UF1119" // a key that only a pipeline of one module may have
	CodeBadBuild       Code = "UF1120" // build holds no command
	CodeBadSecretText  Code = "UF1121" // neither a text nor { secret = "NAME" }
	CodeSecretSource   Code = "UF1122" // a source of secrets has no known form
)

// A manifest's bounds are part of its codes' texts; package manifest holds the numbers.
func manifestCodes() []Explanation {
	return append(fileCodes(), formCodes()...)
}

func fileCodes() []Explanation {
	return []Explanation{
		{CodeFileUnreadable, "The manifest cannot be read", `There is no file under that name, or it may not be read by this user.

Without a name, uniflow.toml in the current folder is read. Give another one with -f, or make a new project:

    uniflow init demo`},
		{CodeFileKind, "The manifest is not a regular file", `A manifest is a regular file. A folder, a pipe, a socket or a device in its place is refused before it is read, because reading it could wait for ever or never end.

Wrong:  uniflow check -f ./demo
Right:  uniflow check -f ./demo/uniflow.toml`},
		{CodeFileSize, "The manifest is too large", `A manifest may have 1 MiB, the manifest of a tenant 256 KiB. The bound is checked before anything is parsed, so that a wrong or hostile file costs nothing.

Data does not belong into a manifest. Keep it in a file and grant the plugin access to it:

Wrong:  context = { rows = [ ...a million rows... ] }
Right:  [plugins.clean.grant]
        mount = { "/data" = "./data" }`},
		{CodeFileEncoding, "The manifest is not UTF-8", `TOML files are UTF-8. The first byte that is not is shown.

Editors on Windows may save as UTF-16 or in a local code page; choose "UTF-8" when saving, or convert the file:

    iconv -f UTF-16 -t UTF-8 uniflow.toml > fixed.toml`},
		{CodeFileNUL, "The manifest holds a NUL", `A NUL byte in a file means that it is no text: a binary, or text in UTF-16. A NUL character inside a value ("\u0000") is refused too, because names, paths and arguments end at it on most systems.

Wrong:  owner = "team\u0000climate"
Right:  owner = "team-climate"`},
		{CodeTooDeep, "Brackets are nested too deeply", `Lists and inline tables may stand 32 levels inside one another. The bound is counted before the file is parsed, because deep nesting costs a parser time and stack out of all proportion.

A closing bracket that is missing on many lines looks like nesting as well. Where the depth is meant, give the inner tables a header of their own:

Wrong:  context = { a = { b = { c = ... } } }
Right:  [pipelines.weather.context.a.b]
        c = 1`},
		{CodeKeyTooLong, "A key has too many parts", `A dotted key or the name of a table may have 16 parts, and the whole path to a value 48. Manifests need five or six.

Wrong:  a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1
Right:  [pipelines.weather.context.site]
        station = "seattle"`},
		{CodeTooMany, "The manifest has too many keys", `A manifest may have 50,000 keys, tables and list items together; a part of a dotted key counts as one. That is room for thousands of pipelines.

Move long lists into a file that a plugin reads through a mount, or split the manifest by tenant.`},
		{CodeSyntax, "The manifest is not TOML", `The text breaks a rule of TOML at the place that is shown. Only the first such place is known: what follows it cannot be read.

The usual reasons are a text without quotes, a quote that is not closed, and a comma or bracket that is missing:

Wrong:  schedule = daily 02:00
Right:  schedule = "daily 02:00"

A backslash starts an escape inside "double quotes"; 'single quotes' take text as it is.`},
		{CodeDuplicate, "A key or a table stands twice", `Every key and every table header may stand once. Which of two values was meant cannot be guessed, so none is taken.

Wrong:  [pipelines.hello]
        wasm = "hello.wasm"
        [pipelines.hello]
        schedule = "every 10m"
Right:  [pipelines.hello]
        wasm     = "hello.wasm"
        schedule = "every 10m"`},
		{CodeArrayOfTables, "Tables have names here, not double brackets", `Steps, pipelines, plugins and all other tables are named, so that messages, histories and other tables can refer to them. Arrays of tables ([[name]]) are not used anywhere in a manifest.

Wrong:  [[pipelines.hello.steps]]
        name   = "load"
        plugin = "clean"
Right:  [pipelines.hello.steps.load]
        plugin = "clean"

A list of tables inside context or with is written as a value:

        rows = [ { id = 1 }, { id = 2 } ]`},
		{CodeMore, "More mistakes than are shown", `The first 20 mistakes are shown, in the order of the text. Mend these and check again: one mistake often causes several others.`},
	}
}

func formCodes() []Explanation {
	return []Explanation{
		{CodeUnknownKey, "No such key in this table", `The table does not know the key. Unknown keys are refused rather than skipped, because a setting with a typing error would silently not hold.

Wrong:  retry = { attemps = 3 }
Right:  retry = { attempts = 3 }

docs/MANIFEST.md lists the keys of every table.`},
		{CodeKeyCase, "The key is known in other letters", `Keys are case-sensitive and written in lower case.

Wrong:  Version = 1
Right:  version = 1`},
		{CodeWrongType, "A value has the wrong type", `The key expects another TOML type: a string, an integer, a float, a boolean, an array, a table. Nothing is converted, because a conversion can hide a mistake.

Wrong:  attempts = "3"
Right:  attempts = 3

Durations and sizes are strings with a unit:

Wrong:  timeout = { step = 60 }
Right:  timeout = { step = "60s" }`},
		{CodeBadDuration, "Not a duration", `A duration is a string of numbers and units: ms, s, m, h, and whole days as d at the front. A day is 24 hours. A duration is never negative.

Wrong:  step = "90 seconds"
Right:  step = "90s"    also "1h30m", "500ms", "2d", "1d12h"`},
		{CodeBadSize, "Not a size", `A size is a string with a whole number and one unit: B, KiB, MiB or GiB (1 KiB is 1,024 bytes).

Wrong:  memory = "64MB"
Right:  memory = "64MiB"`},
		{CodeBadBackoff, "Not a backoff", `A backoff is the range of waits between attempts, two durations joined by two dots, the shorter first. One duration stands for both ends.

Wrong:  backoff = "1m..1s"
Right:  backoff = "1s..1m"    or "30s" for a wait that stays the same`},
		{CodeOutOfRange, "A value is out of range", `The value is below the least or above the most that the key allows; the message names both. To get the default, leave the key out: zero is not a way to say "default" or "no limit".

Wrong:  retry = { attempts = 0 }
Right:  retry = { attempts = 1 }    one attempt, no retry`},
		{CodeNotOneOf, "Not one of the allowed words", `The key takes one of a few words; the message lists them. They are written in lower case.

Wrong:  overlap = "queue"
Right:  overlap = "wait"`},
		{CodeEmptyText, "A text is empty", `An empty text says nothing, and would be taken for a key that is absent. Leave the key out instead.

Wrong:  schedule = ""
Right:  no schedule at all: the pipeline runs when it is told to`},
		{CodeMissingKey, "A key is missing", `The table needs the key to mean anything.

Wrong:  [schedules.evening]
        at = "daily 18:00"
Right:  [schedules.evening]
        pipeline = "weather"
        at       = "daily 18:00"`},
		{CodeBadName, "A name breaks the rule for names", `Names stand in histories, addresses and expressions, so they are plain. A step's name is a lower case letter followed by lower case letters, digits and _. Names of pipelines, plugins, schedules, tenants and alerts may also hold -. Names of secrets and environment variables are letters, digits and _, a letter or _ first; a secret's may also hold -. No name is longer than 64 characters.

Wrong:  [pipelines.weather.steps.load-rows]
Right:  [pipelines.weather.steps.load_rows]`},
		{CodeBadPath, "A path leaves the folder of the manifest", `Paths are relative to the manifest, stay inside its folder, and use / between folders on every system. So a project can be moved and copied as a whole, and a foreign manifest cannot reach what lies outside. Absolute paths, .. above the folder, drive letters, \ and ~ are refused.

Wrong:  wasm = "../shared/clean.wasm"
Right:  wasm = "plugins/clean.wasm"

The path of a mount inside the guest is the opposite, absolute: mount = { "/data" = "./data" }.`},
		{CodeBadVersion, "The version of the manifest is missing or unknown", `Every manifest names the version of its format, so that a later format is never misread. There is one version, 1; it stands at the top, above the first table.

Right:  version = 1

A manifest of a later version needs a later uniflow: see uniflow version.`},
		{CodeNoNumber, "JSON has no such number", `What stands in context, with, default and enum is handed to plugins as JSON, and JSON knows neither inf nor nan.

Wrong:  context = { limit = inf }
Right:  leave the key out, or use a number that is large enough`},
		{CodePluginSource, "A plugin has exactly one file", `A plugin is a module (wasm), a program (process) or a script; exactly one of the three keys says which, with the path of the file.

Wrong:  [plugins.clean]
        wasm    = "clean.wasm"
        process = "bin/clean"
Right:  [plugins.clean]
        wasm = "clean.wasm"`},
		{CodeScriptEngine, "A script and its engine go together", `A script is executed by an engine, which is another plugin. The one makes no sense without the other.

Wrong:  [plugins.score]
        script = "score.py"
Right:  [plugins.score]
        script = "score.py"
        engine = "python"

        [plugins.python]
        wasm = "python.wasm"`},
		{CodeStepSource, "A step calls exactly one plugin", `A step names a plugin that is declared under [plugins], or a file by wasm or process where the plugin needs no table of its own. Exactly one of the three.

Wrong:  [pipelines.weather.steps.load]
        function = "load"
Right:  [pipelines.weather.steps.load]
        plugin   = "clean"
        function = "load"`},
		{CodePipelineSource, "A pipeline has steps or is one module", `A pipeline has steps, or it is one call and names it by wasm, process, plugin or script. It cannot be both or neither.

Wrong:  [pipelines.hello]
        schedule = "every 10m"
Right:  [pipelines.hello]
        wasm     = "plugins/hello.wasm"
        schedule = "every 10m"`},
		{CodeOnlyOneModule, "The key belongs to a step", `function, with and grant on a pipeline describe its only call. A pipeline that has steps says them where they belong: function and with on the step, grant on the plugin. order, the other way round, needs steps.

Wrong:  [pipelines.weather]
        function = "load"
        [pipelines.weather.steps.load]
        plugin = "clean"
Right:  [pipelines.weather.steps.load]
        plugin   = "clean"
        function = "load"`},
		{CodeBadBuild, "build holds no command", `build is a command as a list of words, started without a shell. Words of the form NAME=value in front set its environment; at least one word must follow them.

Wrong:  build = ["GOOS=wasip1"]
Right:  build = ["GOOS=wasip1", "GOARCH=wasm", "go", "build", "-o", "clean.wasm", "."]`},
		{CodeBadSecretText, "Not a text and not the name of a secret", `The value is a text, or a table with the single key secret that names the secret which holds the text.

Wrong:  url = { token = "SLACK_URL" }
Right:  url = { secret = "SLACK_URL" }`},
		{CodeSecretSource, "No such source of secrets", `A source of secrets is a word, a colon and what belongs to it: env: and the prefix of environment variables, file: or age: and the path of a file, dir: and the path of a folder that holds one file per secret.

Wrong:  secrets = "./secrets"
Right:  secrets = "dir:secrets"`},
	}
}

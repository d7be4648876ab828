package flow

// UF120x to UF124x: the sense of a manifest.
const (
	// CodeUnknownPlugin: a plugin is named that is not declared.
	CodeUnknownPlugin Code = "UF1202"
	// CodeUnknownPipeline: a schedule names a pipeline that is not declared.
	CodeUnknownPipeline Code = "UF1203"
	// CodeUnknownFunction: the plugin has no such function, or no Go function of that name is registered.
	CodeUnknownFunction Code = "UF1204"
	// CodeUnknownStep: needs or order name a step that the pipeline does not have.
	CodeUnknownStep Code = "UF1205"
	// CodeCycle: steps wait for one another.
	CodeCycle Code = "UF1206"
	// CodeScheduleName: two schedules have one name.
	CodeScheduleName Code = "UF1208"
	// CodeParam: a param contradicts itself.
	CodeParam Code = "UF1212"
	// CodeContext: a context does not fit the params.
	CodeContext Code = "UF1213"
	// CodeUnsupported: what was asked for cannot be done here.
	CodeUnsupported Code = "UF1214"
	// CodeNotBuilt: the file of a plugin is not there yet; a warning.
	CodeNotBuilt Code = "UF1215"
	// CodeUnusedPlugin: no step uses the plugin; a warning.
	CodeUnusedPlugin Code = "UF1216"
	// CodeLooseStep: a step is tied to no other; a warning.
	CodeLooseStep Code = "UF1217"
	// CodeUnknownAlert: a pipeline names an alert that is not declared.
	CodeUnknownAlert Code = "UF1219"
	// CodeUnknownOutput: the plugin describes its outputs, and the one that is used is not among them; a warning.
	CodeUnknownOutput Code = "UF1220"
	// CodeGrant: a grant is not well formed.
	CodeGrant Code = "UF1221"
	// CodePlace: a key stands where it means nothing.
	CodePlace Code = "UF1222"
	// CodeAlertURL: the URL of an alert is none, or that of no service.
	CodeAlertURL Code = "UF1223"
	// CodeAlertSign: the signing secret of a webhook is not well formed.
	CodeAlertSign Code = "UF1224"
	// CodeHTTPGrant: a line of grant.http is not well formed.
	CodeHTTPGrant Code = "UF1231"
	// CodeSecretPlace: what is said of a plugin's secret is not well formed.
	CodeSecretPlace Code = "UF1232"
	// CodeSecretIdle: no grant leads to where a secret is bound; a warning.
	CodeSecretIdle Code = "UF1233"
	// CodeInputShape: what a step gives its plugin is not what the plugin says that it takes.
	CodeInputShape Code = "UF1235"
	// CodeWanted: a plugin wants what it is not granted; a warning.
	CodeWanted Code = "UF1236"
	// CodeDescriptor: what a plugin says of itself cannot be read; a warning.
	CodeDescriptor Code = "UF1237"
	// CodeSecretUnset: a secret of a plugin cannot be read where the manifest is checked; a warning.
	CodeSecretUnset Code = "UF1234"
)

// UF125x: expressions.
const (
	// CodeExprSyntax: an expression is not well formed.
	CodeExprSyntax Code = "UF1250"
	// CodeExprName: an expression uses a name that does not exist there.
	CodeExprName Code = "UF1251"
	// CodeExprStep: an expression names a step that the pipeline does not have.
	CodeExprStep Code = "UF1252"
	// CodeExprType: the types in an expression do not fit.
	CodeExprType Code = "UF1253"
	// CodeExprBound: an expression or its value is too large.
	CodeExprBound Code = "UF1254"
	// CodeExprValue: an expression could not be evaluated with the values of a run.
	CodeExprValue Code = "UF1255"
)

func planCodes() []Explanation {
	return append(manifestSenseCodes(), []Explanation{
		{CodeNotBuilt, "the plugin's file is not there yet", "The manifest is checked without the plugin's bytes: its functions and outputs are not known, and the version of the pipeline is not known before it is built.\n\n`uniflow build` makes the plugins that have a build command. A plugin without one is a path: check it, it is relative to the manifest."},
		{CodeUnusedPlugin, "no step uses the plugin", "The plugin is declared, and no pipeline names it. That is harmless, and often a sign of a renamed plugin or a forgotten step.\n\nUse it in a step, `plugin = \"NAME\"`, or remove its table."},
		{CodeLooseStep, "a step is tied to no other", "The order of steps comes from references to outputs, from needs, and from order; the order in the file means nothing. A step that is tied to no other runs at once, beside the first ones.\n\nIf it must wait, say so: `needs = [\"load\"]`, or `order = [\"load\", \"summarise\"]` on the pipeline. If it need not, the warning can stay."},
		{CodeUnknownAlert, "the alert is not declared", "A pipeline's alerts name tables under [alerts].\n\n  [alerts.ops]\n  url = \"slack://...\"\n\n  [pipelines.weather]\n  alerts = [\"ops\"]"},
		{CodeUnknownOutput, "the plugin does not describe that output", "The plugin carries a description of its outputs, and the one that is used is not in it. The description may be incomplete, so this is a warning; if the output is missing when the step runs, the step that uses it fails.\n\nCheck the spelling against `uniflow plugin inspect`."},
		{CodeGrant, "a grant is not well formed", "A mount maps an absolute path of the guest to a file or folder of the host, which lies in the manifest's folder: mount = { \"/data\" = \"data\" }. A variable's name has letters, digits and underscores; names that begin with UNIFLOW_ are the host's.\n\nGrants stand on the plugin, or on a pipeline that is one module; a step takes those of its plugin."},
		{CodePlace, "the key means nothing here", "Some keys make sense only beside others: parallel beside each; args, stdin and stdout on steps that run a WebAssembly command; input on those that run a plugin of Extism; function, with and grant of a pipeline only where it is one module; order only where it has steps.\n\nRemove the key, or move it to where it belongs."},
		{CodeAlertURL, "the URL of the alert is not one of a service", "The url of an alert is that of a webhook, https://…, or of a service of the notification library: slack://, discord://, telegram://, teams://, smtp://, ntfy://, pagerduty:// and others. docs/ALERTS.md lists them. The part before :// says which service it is.\n\nA URL holds what is needed to write to the target, so that it is best kept as a secret: url = { secret = \"SLACK_URL\" }."},
		{CodeAlertSign, "the signing secret is not well formed", "Webhooks are signed as the Standard Webhooks specification says. Its secrets are written whsec_ and the base64 of 24 to 64 random bytes; two of them, parted by a blank, while one takes the place of the other.\n\nKeep it as a secret: sign = { secret = \"WEBHOOK_KEY\" }."},
		{CodeHTTPGrant, "a line of grant.http is not well formed", "A line is a method and a place: \"GET https://api.example.com/v1/*\". Without a method it is GET, which covers HEAD, too; * stands for every method. The place has a scheme, a host, and a path, which may end with * for all that begins like it; a port only where it is not the usual one; \"https://*.example.com/*\" is every name below example.com. Queries are not compared.\n\nA host is a whole name in its ASCII form, localhost, or an IP address in its usual form. Names lead to the public internet only; this machine and private networks are reached by lines that name localhost or the very address."},
		{CodeSecretPlace, "what is said of a secret is not well formed", "A secret of a plugin has a place: the host fills it in on the requests that the plugin sends there, and the plugin never sees it.\n\n  [plugins.report.secrets.API_TOKEN]\n  to     = \"https://api.example.com\"\n  header = \"Authorization: Bearer {}\"\n\n`to` is an origin without a path, on https or on this machine; `header` is a name and a value with {} once. Where the plugin itself must know it, say `expose = true` instead: it then reads it by secret.get, and what becomes of it is in the plugin's hands."},
		{CodeInputShape, "the plugin does not take such inputs", "The plugin carries JSON Schemas of what its functions take, and `with` of the step does not fit. What a ${...} gives is looked at when the step runs, everything else here.\n\nuniflow plugin inspect FILE shows the schemas."},
		{CodeWanted, "the plugin wants what it is not granted", "The plugin says that it needs a grant or a secret that the manifest does not give it. It may do without a part of it, so this is a warning; what it is denied, it hears as an error when it asks.\n\nGrant it after a look at what it is for, or leave it."},
		{CodeDescriptor, "what the plugin says of itself cannot be read", "The custom section uniflow.plugin of the module, or a JSON Schema in it, is not well formed. It is left aside.\n\nuniflow plugin inspect FILE says more; the author of the plugin can mend it."},
		{CodeSecretIdle, "no grant leads to where the secret goes", "The secret is filled in on requests to its origin, and no line of the plugin's grant.http allows one. It is never sent.\n\nAdd the line, or correct `to`."},
		{CodeSecretUnset, "the secret is not there yet", "The source that `secrets` under [host] names does not have the secret, here and now. Steps that need it will fail until it has: on the machine and in the environment where the host runs.\n\nThe message says where it was looked for. It is read each time that it is needed, so that the host need not be started again, except for a new variable of its environment."},
		{CodeExprSyntax, "the expression is not well formed", "Conditions and ${...} hold expressions of CEL (the Common Expression Language): context.year > 2000, size(steps.load.rows) > 0, context.name + \".csv\", steps.load.rows.filter(r, r.rain > 1.0).\n\nA condition (`when`) is an expression without ${ }. In values, every ${ needs its }, and $${ is a literal ${."},
		{CodeExprName, "the expression uses a name that does not exist here", "An expression sees context, run, steps.NAME.OUTPUT; in a step with each also item and item_index; in a step with on = \"failure\" or \"always\" also failed, the list of steps that failed.\n\nA pipeline's own `when` is read before any step, so it sees context and run only. A step cannot use its own outputs."},
		{CodeExprStep, "there is no such step", "steps.NAME names a step of the same pipeline. Outputs of another pipeline cannot be reached.\n\nNames are lower case, and tell apart _ from -."},
		{CodeExprType, "the types do not fit", "Operators and functions work on certain types: + on two numbers, two strings or two lists, > on numbers or strings, && on booleans. A condition is a boolean, each a list.\n\nNumbers of outputs are doubles unless the plugin's schema says integer, and a param of type integer is an integer. Whole numbers written in the expression adapt; otherwise convert: double(context.year) + steps.load.offset, int(steps.load.count) % 2, string(context.year)."},
		{CodeExprBound, "the expression is too large", "An expression has at most 4 KiB and 50 levels; its evaluation costs at most 100,000 (about one per operation and one per ten bytes of text); a value has at most 8 MiB.\n\nExpressions choose and pass on. What needs more is work for a step."},
		{CodeExprValue, "the expression could not be evaluated", "The expression is well formed, but the values of this run do not fit it: a key is missing, an index is outside of the list, a value has another type than the expression needs.\n\n`has(steps.load.rows)` asks whether a key is there. `uniflow runs outputs` shows what the steps returned."},
	}...)
}

func manifestSenseCodes() []Explanation {
	return []Explanation{
		{CodeUnknownPlugin, "the plugin is not declared", "`plugin = \"NAME\"` names a table [plugins.NAME] of the same manifest. A file without a table is named by its path instead: wasm = \"plugins/hello.wasm\" or process = \"bin/hello\"."},
		{CodeUnknownPipeline, "the pipeline is not declared", "A schedule names a table [pipelines.NAME] of the same manifest."},
		{CodeUnknownFunction, "the plugin has no such function", "The plugin's file was read, and it does not offer the function that the step names. `uniflow plugin inspect` lists what it offers.\n\nFor a pipeline built in code: the Go function must be registered with the host before the pipeline is defined."},
		{CodeUnknownStep, "there is no such step", "needs and order name steps of the same pipeline. A step cannot need itself, and order names each step once."},
		{CodeCycle, "steps wait for one another", "Every step waits for the steps whose outputs it uses, for those in needs, and for the one before it in order. Here these form a loop, so none of them could ever start. The message names the loop; one of its links must go."},
		{CodeScheduleName, "two schedules have one name", "A schedule's name is unique: it is how schedules are enabled, disabled and found in history. A pipeline's own `schedule` has the name of the pipeline, so that [schedules.weather] and a schedule on [pipelines.weather] collide.\n\nRename the table under [schedules]."},
		{CodeParam, "the param contradicts itself", "A param's type is string, integer, number, boolean, list or object. Its default and every value of enum must be of that type and lie between min and max; min and max belong to numbers; a param with a default is never missing, so `required` beside it says nothing."},
		{CodeContext, "the context does not fit the params", "Params type the context: a value must have the param's type, lie between min and max, and be one of enum; a required param must be there. A context is complete when params' defaults, the pipeline's context, the schedule's context and --set are laid over one another, key by key.\n\nKeys without a param are passed on as they are, unless they are one or two letters away from a param's name: that is most likely a typing mistake, and refused."},
		{CodeUnsupported, "Not to be had here", "What was asked for is no mistake in itself, but cannot be done here, and doing something else would be worse: secrets from a source of another kind than env:, file:, dir: and age:; an apply by a host that was opened without a manifest; a rollback of a pipeline that is defined in code.\n\nThe message says which it is, and the hint what to do instead."},
	}
}

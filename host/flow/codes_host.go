package flow

// UF5xxx: host, store and API.
const (
	// CodeLedgerLocked: another host uses the data folder.
	CodeLedgerLocked Code = "UF5001"
	// CodeLedgerDamaged: the ledger's file is damaged.
	CodeLedgerDamaged Code = "UF5002"
	// CodeLedgerForeign: the ledger's place is taken by something else.
	CodeLedgerForeign Code = "UF5003"
	// CodeLedgerNewer: the ledger has another form than this program reads.
	CodeLedgerNewer Code = "UF5004"
	// CodeLedgerFull: the disk is full.
	CodeLedgerFull Code = "UF5005"
	// CodeLedgerIO: the ledger's file cannot be read or written.
	CodeLedgerIO Code = "UF5006"
	// CodeLedgerMissing: there is no ledger to read.
	CodeLedgerMissing Code = "UF5007"
	// CodeArtifactDamaged: an artifact is not what its digest says.
	CodeArtifactDamaged Code = "UF5008"
	// CodeArtifactIO: an artifact cannot be read or written.
	CodeArtifactIO Code = "UF5009"
	// CodeStopping: a request came while the host was stopping.
	CodeStopping Code = "UF5101"
	// CodeRunEnded: a run that has ended was to be changed.
	CodeRunEnded Code = "UF5102"
	// CodeNotFound: what was named does not exist.
	CodeNotFound Code = "UF5103"
	// CodeUnreachable: no host answers where one was expected.
	CodeUnreachable Code = "UF5104"
	// CodeNeedsToken: an address beyond this machine needs a token.
	CodeNeedsToken Code = "UF5105"
	// CodeListen: the API's address cannot be used.
	CodeListen Code = "UF5106"
	// CodeWritten: what the manifest says cannot be removed by hand.
	CodeWritten Code = "UF5107"
	// CodeExists: the name is taken.
	CodeExists Code = "UF5108"
	// CodeUnauthorized: the token is missing or wrong.
	CodeUnauthorized Code = "UF5109"
	// CodeRequest: a request is not well formed.
	CodeRequest Code = "UF5110"
	// CodeReadOnly: the host was opened for reading only.
	CodeReadOnly Code = "UF5111"
	// CodeData: the data folder cannot be used.
	CodeData Code = "UF5112"
	// CodeSecret: a secret cannot be read.
	CodeSecret Code = "UF5113"
	// CodeNotTaken: a target did not take a message.
	CodeNotTaken Code = "UF5114"
)

func hostCodes() []Explanation {
	return []Explanation{
		{CodeLedgerLocked, "Another host uses the data folder", "One host at a time writes a ledger: it holds a lock beside the file for as long as it lives. The kernel takes the lock back when the process ends, however it ends, so a lock is never left over.\n\nAsk the running host (commands find it by the socket in the data folder), stop it, or give this one a folder of its own with `data` under [host]. Reading verbs need no lock."},
		{CodeLedgerDamaged, "The ledger is damaged", "The database was checked at the start, and its content is not what was written: the disk, a copy made while the host was live, or another program changed it. Nothing was changed. The .lock file beside it remembers that there was a ledger, so that one that is missing or empty is told too, and not replaced by a new one in silence.\n\nStop the host and put a backup in the place:\n\n    uniflow restore FILE\n\nWithout a backup, move the database and its -wal, -shm and .lock files away: the host then begins anew."},
		{CodeLedgerForeign, "The place of the ledger is taken", "Where the ledger should be is a folder, or the database of another program. It was left alone.\n\nName another data folder with `data` under [host]."},
		{CodeLedgerNewer, "The ledger has another form", "The form of the ledger moves with versions of uniflow, forward only. Either a newer version wrote this ledger, or a reading verb found one that the host has not brought up to date yet.\n\nUse the newer version, or start the host once."},
		{CodeLedgerFull, "The disk is full", "What was to be recorded did not fit; nothing of it was, and the caller was told. Everything recorded before is intact. A host that serves keeps 16 MiB in reserve (`uniflow.reserve` in the data folder): they are spent on the endings of runs that are live, and nothing new begins until 32 MiB can be had.\n\nMake space on the disk of the data folder. The host goes on by itself. `keep` on pipelines bounds the history."},
		{CodeLedgerIO, "The ledger cannot be read or written", "The system refused to open, read, write or sync the database or its lock: permissions, a failing disk, or a network file system, on which a ledger must not lie.\n\nThe message ends with the system's own words. After a failed sync the host writes nothing more until it is started again."},
		{CodeLedgerMissing, "There is no ledger yet", "A reading verb found no database in the data folder: no run has been recorded there.\n\nStart a run with `uniflow run PIPELINE`, or the host with `uniflow serve`; or name the right folder with `data` under [host]."},
		{CodeArtifactDamaged, "An artifact is damaged", "Artifacts are named by the digest of their bytes and checked whenever they are read. These bytes have changed on the disk.\n\nRun the pipeline again: an artifact that is put again replaces the damaged file of the same digest."},
		{CodeArtifactIO, "An artifact cannot be read or written", "The system refused to read or write below `artifacts` in the data folder. The message ends with the system's own words.\n\nCheck the space on the disk and the permissions of the data folder."},
		{CodeStopping, "The host is stopping", "The host was asked to stop: it lets live runs end within the drain time and takes no new ones.\n\nAsk again once the host is back; schedules catch up by themselves as their catchup setting says."},
		{CodeRunEnded, "The run has ended", "A run that has ended is history: its record is final and cannot be cancelled.\n\nStart a new run with `uniflow run PIPELINE`."},
		{CodeNotFound, "Not found", "Nothing of that name is known to this host. Names are ids: `weather` in the default tenant, `acme/weather` in a tenant.\n\n`uniflow pipeline list`, `uniflow schedule list` and `uniflow runs list` show what there is."},
		{CodeUnreachable, "No host answers", "The command needs a running host, and none answers at the socket in the data folder or at the given server.\n\nStart one with `uniflow serve`, or name another one with `--server URL`."},
		{CodeNeedsToken, "An address beyond this machine needs a token", "The API listens on the loopback address without a token, for whoever can log in to the machine. Any other address would open it to the network, so a token is required there.\n\nSet UNIFLOW_TOKEN to a long random text, for the host and for its clients, or listen on 127.0.0.1."},
		{CodeListen, "The address cannot be used", "The API could not listen on its address: another program uses the port, or the address does not belong to this machine.\n\nChoose another one with `listen` under [host], or `uniflow serve --listen 127.0.0.1:0` for any free port."},
		{CodeWritten, "It is written in the manifest", "A schedule of the manifest is removed by editing the manifest. Removing it from the ledger would bring it back at the next start.\n\nTo stop it for now: `uniflow schedule disable NAME`; that survives restarts and shows as drift in `uniflow plan`."},
		{CodeExists, "The name is taken", "Schedules have unique names within a tenant; a pipeline's own schedule has the name of the pipeline.\n\nChoose another name, or unschedule the one that has it."},
		{CodeUnauthorized, "The token is missing or wrong", "The host asks for a token, and the request brought none or another one.\n\nSet UNIFLOW_TOKEN to the host's token."},
		{CodeRequest, "The request is not well formed", "A part of the request is missing, of the wrong type, or out of range; the message names it.\n\nThe API's description stands at /openapi.json of the host."},
		{CodeReadOnly, "Opened for reading only", "Another host uses the data folder, so this process may only read it.\n\nAsk the running host: commands find it by the socket in the data folder."},
		{CodeData, "The data folder cannot be used", "A host keeps its ledger, module cache and artifacts in one folder, `data` beside the manifest unless `data` under [host] says otherwise. It could not be found or made.\n\nCheck the path and its permissions; the folder must lie on a local disk."},
		{CodeSecret, "A secret cannot be read", "Secrets are read where `secrets` under [host] says, those of a tenant where its table in the operator's manifest does, each time that one is needed: env:PREFIX_ (the variable PREFIX_NAME of the host), file:PATH (a line NAME=value), age:PATH (such a file, encrypted with age), or dir:PATH (a file called NAME). Here there is no such source, or it does not have the secret.\n\nThe message says where it was looked for. A new file or line holds at once; a variable needs a new start of the host."},
		{CodeNotTaken, "The target did not take the message", "A message was handed to the target of an alert, and it was refused or not answered within 30 seconds. The message says what was answered; addresses and tokens are taken out of it.\n\nCheck the url of the alert, then ask again with `uniflow alerts test NAME`. Messages about incidents are tried again for a day; `uniflow health` shows those that have not arrived."},
	}
}

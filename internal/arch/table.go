package arch

// Row says what the packages of one folder may import beside the standard
// library and what they must never import.
type Row struct {
	// Folder is relative to the module's root; "x/..." is x and all below.
	Folder string
	// May lists project folders, "x/..." for a whole subtree.
	May []string
	// Libs lists third-party import path prefixes.
	Libs []string
	// Never wins over May and Libs: project folders or third-party prefixes.
	Never []string
	// Why is the reason, printed when the row is broken.
	Why string
}

// Table is who may import whom. A folder without a row is a finding, so that
// a new package is placed by a decision.
func Table() []Row {
	return []Row{
		{
			Folder: "cmd/uniflow", May: []string{"host", "host/flow", "host/tool"},
			Libs:  []string{"github.com/spf13/cobra", "golang.org/x/term", "github.com/coreos/go-systemd"},
			Never: []string{"host/internal/..."},
			Why:   "the command line is one more embedder: what it needs, others need, so it goes through host",
		},
		{
			Folder: ".",
			Why:    "the root holds files of all kits, to be embedded: no package reaches out of its folder",
		},
		{
			Folder: "host", May: []string{"host/...", "sdk/abi"},
			Libs:  []string{"golang.org/x/sync", "golang.org/x/sys", "github.com/oklog/ulid"},
			Never: []string{"host/tool", "host/hosttest", "host/internal/plugintest/...", "host/internal/store/storetest"},
			Why:   "host wires the adapters; it knows no command and no plugin",
		},
		{
			Folder: "host/tool", May: []string{"host/...", "sdk/abi", "."},
			Never: []string{"host/internal/plugintest/...", "host/internal/store/storetest"},
			Why:   "verbs of the command line without a stability promise, built from what host has",
		},
		{
			Folder: "host/hosttest",
			May:    []string{"host", "host/flow", "host/internal/egress", "host/internal/process", "host/internal/service", "host/internal/wasm", "sdk/abi"},
			Why:    "authors test one module under the real engine and the real services, without a ledger",
		},
		{
			Folder: "host/flow",
			Why:    "everybody imports the vocabulary, so it imports the standard library only",
		},
		{
			Folder: "host/internal/failpoint",
			Why:    "moments for the fault suite: adapters and the parts that they serve meet them, so it knows none of them",
		},
		{
			Folder: "host/internal/manifest", May: []string{"host/flow"},
			Libs:  []string{"github.com/BurntSushi/toml", "github.com/pelletier/go-toml"},
			Never: []string{"host/internal/plan", "host/internal/store/..."},
			Why:   "it turns text into values and mistakes; what they mean is the plan's business",
		},
		{
			Folder: "host/internal/schema", May: []string{"host/flow"},
			Libs: []string{"github.com/invopop/jsonschema", "github.com/santhosh-tekuri/jsonschema", "golang.org/x/text"},
			Why:  "JSON Schemas are made and checked in one place",
		},
		{
			Folder: "host/internal/expr", May: []string{"host/flow"}, Libs: []string{"cel.dev/cel-go"},
			Why: "expressions are pure: no I/O, no clock",
		},
		{
			Folder: "host/internal/plan", May: []string{"host/flow", "host/internal/calendar", "host/internal/egress", "host/internal/expr", "host/internal/schema"},
			Why: "a plan is a pure function of manifest and descriptors: no I/O, no clock, no plugin code",
		},
		{
			Folder: "host/internal/calendar", May: []string{"host/flow"},
			Never: []string{"github.com/go-co-op/gocron"},
			Why:   "instants are pure functions of schedule text and zone, on every node alike",
		},
		{
			Folder: "host/internal/egress",
			Why:    "what a grant for HTTP means is the same for the plan and for the service: pure text and numbers, no socket",
		},
		{
			Folder: "host/internal/overlap", May: []string{"host/flow", "host/internal/calendar"},
			Why: "what becomes of a slot is decided alike by the scheduler, every store and the simulation: pure",
		},
		{
			Folder: "host/internal/simulate", May: []string{"host/flow", "host/internal/calendar", "host/internal/overlap"},
			Why: "a rehearsal on a virtual clock by the rules of the real thing: no I/O, no clock, nothing runs",
		},
		{
			Folder: "host/internal/schedule", May: []string{"host/flow", "host/internal/calendar", "host/internal/failpoint", "host/internal/overlap"},
			Libs:  []string{"github.com/go-co-op/gocron", "github.com/google/uuid", "github.com/oklog/ulid"},
			Never: []string{"host/internal/run", "host/internal/store/..."},
			Why:   "it decides when; the seams in flow carry what is due to whoever runs it",
		},
		{
			Folder: "host/internal/dispatch", May: []string{"host/flow", "host/internal/failpoint"},
			Libs:  []string{"golang.org/x/sync"},
			Never: []string{"github.com/go-co-op/gocron", "github.com/tetratelabs/wazero"},
			Why:   "where a run executes must be replaceable without touching when, how or where it is stored",
		},
		{
			Folder: "host/internal/run", May: []string{"host/flow", "host/internal/expr", "host/internal/failpoint"},
			Libs: []string{"golang.org/x/sync"},
			Why:  "the runner knows seams, never an adapter: a second store or runtime is no edit here",
		},
		{
			Folder: "host/internal/wasm", May: []string{"host/flow", "sdk/abi", "host/internal/wasm/binary"},
			Libs:  []string{"github.com/tetratelabs/wazero", "golang.org/x/sys", "golang.org/x/sync"},
			Never: []string{"host/internal/store/...", "host/internal/schedule"},
			Why:   "the engine runs one call in one sandbox and knows nothing of runs",
		},
		{
			Folder: "host/internal/wasm/binary",
			Never:  []string{"github.com/tetratelabs/wazero"},
			Why:    "hostile bytes are judged before any engine sees them: pure bytes to bytes",
		},
		{
			Folder: "host/internal/wasm/binary/binarytest",
			Why:    "hostile and ordinary modules as bytes, for tests",
		},
		{
			Folder: "host/internal/process", May: []string{"host/flow", "sdk/abi", "sdk/process/...", "host/internal/process/workerproto", "host/internal/failpoint"},
			Libs: []string{
				"github.com/hashicorp/go-plugin", "github.com/hashicorp/go-hclog",
				"google.golang.org/grpc", "google.golang.org/protobuf", "golang.org/x/sys", "golang.org/x/sync",
			},
			Never: []string{"host/internal/store/...", "host/internal/schedule"},
			Why:   "processes are started, confined and killed here and nowhere else",
		},
		{
			Folder: "host/internal/process/workerproto",
			Libs:   []string{"google.golang.org/grpc", "google.golang.org/protobuf"},
			Why:    "the wire between a host and its own workers: generated, without behaviour",
		},
		{
			Folder: "host/internal/gofunc", May: []string{"host/flow", "sdk/abi"},
			Why: "Go functions of an embedder are one more runtime behind the same seam",
		},
		{
			Folder: "host/internal/plugintest", May: []string{"host/flow", "sdk/abi", "host/internal/plugintest/guest"},
			Why: "one conformance suite for all runtimes: it may know the contract, never a runtime",
		},
		{
			Folder: "host/internal/plugintest/guest", May: []string{"sdk/abi"},
			Why: "the plugin side of the suite runs inside sandboxes: contract only",
		},
		{
			Folder: "host/internal/plugintest/hostile",
			May: []string{
				"host/flow", "host/internal/plugintest", "host/internal/plugintest/guest", "host/internal/wasm/binary/binarytest",
			},
			Why: "one corpus of attacks for all runtimes of modules: bytes and the seam, never a runtime",
		},
		{
			Folder: "host/internal/service", May: []string{"host/flow", "host/internal/egress", "host/internal/secret", "sdk/abi"},
			Never: []string{"github.com/tetratelabs/wazero", "github.com/hashicorp/go-plugin"},
			Why:   "services are the same for every kind of plugin, so they see no runtime",
		},
		{
			Folder: "host/internal/store/sqlite", May: []string{"host/flow", "host/internal/failpoint", "host/internal/overlap"},
			Libs:  []string{"modernc.org/sqlite", "github.com/pressly/goose", "golang.org/x/sys"},
			Never: []string{"host/internal/run"},
			Why:   "a store is one folder that passes storetest; no other package speaks SQL",
		},
		{
			Folder: "host/internal/store/storetest", May: []string{"host/flow"},
			Why: "one conformance suite for all stores: it knows the seam, never a driver",
		},
		{
			Folder: "host/internal/blob", May: []string{"host/flow"},
			Why: "artifacts on disk by digest; who refers to them is the ledger's business",
		},
		{
			Folder: "host/internal/supply", May: []string{"host/flow"},
			Libs:  []string{"oras.land/oras-go", "github.com/opencontainers", "aead.dev/minisign"},
			Never: []string{"host/internal/wasm/...", "host/internal/process"},
			Why:   "it brings bytes and proves their digest; it never runs them",
		},
		{
			Folder: "host/internal/project",
			May:    []string{"host/flow", "host/internal/calendar", "host/internal/manifest", "host/internal/plan", "host/internal/secret", "host/internal/supply", "host/internal/wasm"},
			Never:  []string{"host/internal/store/..."},
			Why:    "a manifest with all that it names, for host and command line alike; it runs nothing and records nothing",
		},
		{
			Folder: "host/internal/secret", May: []string{"host/flow"},
			Libs:  []string{"filippo.io/age"},
			Never: []string{"host/internal/store/..."},
			Why:   "a secret must have no way into the ledger",
		},
		{
			Folder: "host/internal/watch", May: []string{"host/flow", "host/internal/calendar", "host/internal/egress", "host/internal/failpoint", "host/internal/secret"},
			Libs:  []string{"github.com/nicholas-fedor/shoutrrr"},
			Never: []string{"host/internal/run", "host/internal/schedule"},
			Why:   "it reads the ledger after the fact, so that it can delay nothing; where messages of tenants may lead is decided as for their requests",
		},
		{
			Folder: "host/internal/watch/metrics", May: []string{"host/flow"}, Libs: []string{"github.com/prometheus"},
			Never: []string{"host/internal/run", "host/internal/schedule"},
			Why:   "figures for monitoring, from the ledger's events and from what the host tells of itself",
		},
		{
			Folder: "host/internal/watch/trace", May: []string{"host/flow"}, Libs: []string{"go.opentelemetry.io"},
			Never: []string{"host/internal/run", "host/internal/schedule"},
			Why:   "traces are made after the fact, from the ledger's events, so that they can delay nothing",
		},
		{
			Folder: "host/internal/access", May: []string{"host/flow"},
			Never: []string{"host/internal/store/...", "host/internal/api"},
			Why:   "what a principal may see and do is decided in one place, the same for every door: no HTTP, no SQL",
		},
		{
			Folder: "host/internal/api", May: []string{"host/flow"}, Libs: []string{"github.com/danielgtaylor/huma", "golang.org/x/time"},
			Never: []string{"host/internal/store/..."},
			Why:   "the API serves a narrow interface that host implements",
		},
		{
			Folder: "sdk/abi",
			Why:    "guests in Go compile it, so it is small and imports the standard library only",
		},
		{
			Folder: "sdk/abi/abitest", May: []string{"sdk/abi"},
			Why: "golden vectors for every side of the contract: data and the means to read it",
		},
		{
			Folder: "sdk", May: []string{"sdk/abi"}, Never: []string{"host/..."},
			Why: "plugin authors compile it into modules: contract and kit, no host",
		},
		{
			Folder: "sdk/sdktest", May: []string{"sdk", "sdk/abi"}, Never: []string{"host/..."},
			Why: "authors test without an engine",
		},
		{
			Folder: "sdk/process/...", May: []string{"sdk/abi", "sdk/process/..."},
			Libs: []string{
				"github.com/hashicorp/go-plugin", "github.com/hashicorp/go-hclog",
				"google.golang.org/grpc", "google.golang.org/protobuf",
			},
			Never: []string{"host/..."},
			Why:   "what a process plugin compiles against; the host shares its protocol, not the reverse",
		},
		{
			Folder: "plugins/...", May: []string{"sdk", "sdk/abi", "sdk/process/...", "plugins/internal/..."}, Libs: []string{"github.com/itchyny/gojq"}, Never: []string{"host/..."},
			Why: "first-party plugins are ordinary guests, so that what they can do, any plugin can do",
		},
		{
			Folder: "plugins/sql/...", May: []string{"sdk/abi", "sdk/process/..."}, Never: []string{"host/..."},
			Libs: []string{"github.com/jackc/pgx", "github.com/go-sql-driver/mysql", "modernc.org/sqlite"},
			Why:  "drivers of databases belong to this plugin, so that the host carries none but that of its ledger",
		},
		{
			Folder: "examples/...", May: []string{"sdk", "sdk/abi", "sdk/process/..."},
			Never: []string{"host/internal/..."},
			Why:   "a reader copies examples; they use what a reader has",
		},
		{
			Folder: "internal/arch",
			Why:    "it reads source and must stay quick, so it imports the standard library only",
		},
	}
}

// TestTable says what _test.go files may import beside their package's row.
// Never of the package's row still holds for all that is not named here.
func TestTable() []Row {
	return []Row{
		{Folder: "host/...", May: []string{"host/flow", "sdk/abi/abitest"}, Why: "tests speak the vocabulary and the golden vectors"},
		{
			Folder: "host", May: []string{"host/internal/plugintest/...", "host/internal/process"},
			Libs: []string{"github.com/santhosh-tekuri/jsonschema", "go.opentelemetry.io/proto", "google.golang.org/protobuf"},
			Why:  "answers of the API are held against the description that it gives of itself, and traces are read as a collector reads them; the engine passes the suite through workers, which are the test's own program",
		},
		{
			Folder: "sdk", May: []string{"sdk/sdktest"},
			Why: "the kit and the authors' harness are proved together",
		},
		{Folder: "sdk/...", May: []string{"sdk/abi/abitest"}, Why: "every kit passes the golden vectors"},
		{
			Folder: "host/internal/wasm", May: []string{"host/internal/plugintest/..."},
			Why: "every runtime passes the conformance suite",
		},
		{
			Folder: "host/internal/wasm/...", May: []string{"host/internal/wasm/binary/binarytest"},
			Why: "the engine and the checker meet the same modules",
		},
		{
			Folder: "host/internal/process", May: []string{"host/internal/plugintest/..."},
			Why: "every runtime passes the conformance suite",
		},
		{
			Folder: "host/internal/gofunc", May: []string{"host/internal/plugintest/..."},
			Why: "every runtime passes the conformance suite",
		},
		{
			Folder: "host/internal/plugintest/hostile",
			May: []string{
				"host/flow", "host/internal/plugintest", "host/internal/plugintest/guest", "host/internal/wasm/binary/binarytest",
			},
			Why: "one corpus of attacks for all runtimes of modules: bytes and the seam, never a runtime",
		},
		{
			Folder: "host/internal/service", May: []string{"host/internal/plugintest/..."},
			Why: "the suite's guest asks the real services",
		},
		{
			Folder: "host/internal/store/sqlite", May: []string{"host/internal/store/storetest"},
			Why: "every store passes the conformance suite",
		},
		{
			Folder: "host/internal/schedule", May: []string{"host/internal/store/sqlite", "host/internal/dispatch"},
			Why: "slots and overlap are proved on the real store",
		},
		{
			Folder: "host/internal/simulate", May: []string{"host/internal/schedule", "host/internal/store/sqlite", "host/internal/dispatch"},
			Why: "the rehearsal is held against the real scheduler, queue and store",
		},
		{Folder: "host/internal/project", Libs: []string{"aead.dev/minisign"}, Why: "its tests sign what they load"},
		{Folder: "host/tool", Libs: []string{"aead.dev/minisign"}, Why: "its tests sign what they take"},
		{
			Folder: "host/internal/watch", May: []string{"host/internal/store/sqlite"},
			Why: "incidents and messages are proved on the real store",
		},
		{
			Folder: "host/internal/dispatch", May: []string{"host/internal/store/sqlite"},
			Why: "claims are proved on the real store",
		},
		{
			Folder: "host/internal/run", May: []string{"host/internal/store/sqlite", "host/internal/gofunc"},
			Why: "runs are proved with real steps on the real store",
		},
		{
			Folder: "cmd/uniflow", Libs: []string{"github.com/santhosh-tekuri/jsonschema", "filippo.io/age"},
			Why: "every --json answer is held against its schema; secrets are encrypted as an operator does",
		},
		{Folder: "host/internal/api", Libs: []string{"github.com/danielgtaylor/huma"}, Why: "requests go through the real router"},
		{
			Folder: "plugins/...", May: []string{"host/hosttest", "host/flow", "sdk/sdktest"},
			Why: "plugins are tested under the real engine through the public door",
		},
		{
			Folder: "examples/...", May: []string{"host", "host/hosttest", "host/flow", "sdk/sdktest"},
			Libs: []string{"modernc.org/sqlite"},
			Why:  "examples are run as a user runs them, and their numbers held against queries of another engine",
		},
	}
}

// testLibs may be imported by every _test.go file and by no other.
func testLibs() []string { return []string{"github.com/rogpeppe/go-internal"} }

// shared lists the third-party prefixes that more than one row names, each
// with its reason; any other library has one importing package.
func shared() map[string]string {
	return map[string]string{
		"golang.org/x/sync":              "joins goroutines; no types of it cross a package",
		"golang.org/x/sys":               "system calls stand beside what they serve, in files for one system",
		"github.com/oklog/ulid":          "run ids are made where a run begins: by a slot, or by a person",
		"github.com/hashicorp/go-plugin": "both ends of one protocol: the host's client, the plugin author's server",
		"github.com/hashicorp/go-hclog":  "the logger that go-plugin demands at both ends",
		"google.golang.org/grpc":         "both ends of one protocol",
		"modernc.org/sqlite":             "the ledger of the host, and the databases that a plugin is for",
		"google.golang.org/protobuf":     "both ends of one protocol",
	}
}

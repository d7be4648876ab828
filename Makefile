# The one entry to building, testing and checking. `make` lists what it can do.

GOLANGCI_LINT = v2.15.0
GOFUMPT       = v0.12.0
GOVULNCHECK   = v1.9.0

TOOLS   ?= bin/tools
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Where goroutines meet: these run under the race detector, which needs cgo.
RACE = ./host ./host/internal/api/... ./host/internal/dispatch/... ./host/internal/process/... \
       ./host/internal/run/... ./host/internal/schedule/... ./host/internal/store/...
# Of the engine, what several calls share; the race detector makes guests and their rewriting ten times slower.
RACE_WASM = SideBySide|Left|Initialised|Kept|Cache|Strangers|Room|CloseEnds

# Of the watcher, what hangs, ends and comes back; days of its bubbles take minutes under the race detector.
RACE_WATCH = Hangs|CutsAnAttemptOff|AcrossRestarts|UntilItIsTaken|SentAgain|Webhook

# Systems that are vetted, not run.
CROSS = darwin/amd64 darwin/arm64 linux/arm64 windows/amd64 windows/arm64

export CGO_ENABLED = 0

golangci-lint = $(TOOLS)/golangci-lint-$(GOLANGCI_LINT)/golangci-lint
gofumpt       = $(TOOLS)/gofumpt-$(GOFUMPT)/gofumpt
govulncheck   = $(TOOLS)/govulncheck-$(GOVULNCHECK)/govulncheck

.DEFAULT_GOAL = help
.PHONY: help fmt lint vuln test faults test-race test-all arm64 build size wasm examples languages programs deploy-check bench docs cross clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

fmt: $(gofumpt) ## format the Go code
	$(gofumpt) -l -w $$(git ls-files --cached --others --exclude-standard -- '*.go' ':!:*.pb.go')

lint: $(golangci-lint) ## run all linters
	$(golangci-lint) run ./...

vuln: $(govulncheck) ## look for known faults in what we depend on (needs the network)
	$(govulncheck) ./...

test: ## run all tests
	go test ./...

faults: ## hit real hosts with faults and check what is promised (ROUNDS=1000, SEED=1, FAULT="disk full", TOGETHER=12)
	go vet -tags faults ./...
	ROUNDS=$(or $(ROUNDS),50) go test -tags faults -count=1 -timeout 3h -run '^TestFaults$$' -v ./cmd/uniflow

test-race: ## run the tests of concurrent packages under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race $(RACE)
	CGO_ENABLED=1 go test -race -run '$(RACE_WASM)' ./host/internal/wasm
	CGO_ENABLED=1 go test -race -run '$(RACE_WATCH)' ./host/internal/watch

test-all: ## run everything that can be checked on this machine
	go vet ./...
	CGO_ENABLED=1 go test -race ./...
	UNIFLOW_TEST_ALL=1 go test -timeout 30m ./host/internal/calendar ./host/internal/schedule
	.ci/guests.sh
	$(MAKE) lint examples size languages programs deploy-check faults cross arm64

arm64: ## count fuel on arm64, under emulation (needs qemu-user-static)
	GOARCH=arm64 go test -exec qemu-aarch64-static -run FuelIsTheSame ./host/internal/wasm

build: ## build bin/uniflow, static and stripped
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/uniflow ./cmd/uniflow

size: build ## check the size of the binary: 45 MB at most, 35 MB wanted
	@bytes=$$(wc -c < bin/uniflow); \
	echo "bin/uniflow: $$((bytes / 1000000)) MB (wanted: 35, at most: 45)"; \
	test $$bytes -le 45000000

wasm: ## rebuild the guests that are not Go from source (needs clang and lld)
	.ci/guests.sh --write

examples: build ## run the example pipelines
	bin/uniflow run weather
	cd examples/earthquakes && ../../bin/uniflow run earthquakes
	cd examples/birdstrikes && ../../bin/uniflow run birdstrikes

languages: ## build the kits of all languages and run their conformance vectors (Debian 12, as root)
	TOOLS=$(TOOLS) .ci/languages.sh
	TOOLS=$(TOOLS) .ci/process.sh
	.ci/databases.sh
	go test -tags languages -run 'TestKits|TestProcessKits|TestScript|TestPythonPackage' ./host/hosttest
	go test -tags languages -run 'TestLanguages|TestTenLanguages|TestLanguageDocuments' ./cmd/uniflow
	go test -tags languages -run 'TestPostgreSQL|TestMariaDB' ./plugins/sql

programs: ## run programs of others as steps, compiled from their modules
	go test -tags languages ./examples/programs

# Kubernetes, Helm and BuildKit are large: without optimisation they take a third less.
deploy-check: build ## hold service files and the release configuration against those who read them (needs systemd-analyze)
	cd bench/deploy && go test -count=1 -gcflags='all=-N -l' ./...

bench: ## measure one step beside its peers, and write docs/PERFORMANCE.md
	cd bench && go run . -md > ../docs/PERFORMANCE.md

docs: ## write the schemas anew and check the documents
	go test ./host/internal/schema -update
	go test ./internal/arch

# Vetting compiles what we depend on: without optimisation that takes a third less.
cross: ## vet the code for the systems that we do not test on
	set -e; for target in $(CROSS); do echo "go vet for $$target"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} go vet -gcflags='all=-N -l' ./...; done

clean: ## remove what was built
	rm -rf bin dist

$(golangci-lint):
	GOBIN=$(abspath $(@D)) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)

$(gofumpt):
	GOBIN=$(abspath $(@D)) go install mvdan.cc/gofumpt@$(GOFUMPT)

$(govulncheck):
	GOBIN=$(abspath $(@D)) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)

# "make help" lists the targets. A newcomer needs two: make run and make test.
# Both install what is missing first; see scripts/require.

GO        ?= go
ARGS      ?=
TESTFLAGS ?=
PACKAGES  ?= ./...

# The Go release that go.mod names has the security fixes. Many systems set
# "local", which ignores it; GOTOOLCHAIN=local in the environment keeps that.
export GOTOOLCHAIN ?= auto

.PHONY: run test race bench generate build fmt lint vulndb clean help

## run: start the server
# It listens on http://127.0.0.1:8080; ARGS="-addr :0" passes flags. "exec" puts the
# server in the shell's place, so that a signal to make reaches it: "go run" would
# swallow the signal.
run:
	@scripts/require run
	@$(GO) build -o bin/allcores ./cmd/web
	@exec bin/allcores $(ARGS)

## test: run all tests
# One private PostgreSQL serves the whole run. Packages run one at a time: many
# tests measure how long tasks take, and others start browsers.
test: export ALLCORES_TEST_BROWSER = 1
test:
	@scripts/require test
	@$(GO) build -o bin/hold ./cmd/hold
	@exec bin/hold $(GO) test -p 1 $(TESTFLAGS) $(PACKAGES)

## race: run the concurrent packages' tests with the race detector
# It needs a C compiler.
race: PACKAGES = ./internal/jobs/... ./internal/store/...
race:
	@scripts/require race
	@$(GO) build -o bin/hold ./cmd/hold
	@exec bin/hold $(GO) test -race -p 1 $(TESTFLAGS) $(PACKAGES)

## bench: measure Allcores beside its peers
# The result is a Markdown table. ARGS="-rows million -runs 1" passes flags.
bench:
	@scripts/require run
	@$(GO) build -o bin/allcores ./cmd/web
	@$(GO) build -o bin/bench ./cmd/bench
	@exec bin/bench -server bin/allcores $(ARGS)

## generate: generate Go from the .templ files
# The result is committed.
generate:
	@$(GO) tool templ generate

## build: build bin/allcores
build:
	@$(GO) build -o bin/allcores ./cmd/web

## fmt: format the Go files
fmt:
	@gofmt -w .

## lint: run the linters
lint:
	@.ci/lint

## vulndb: renew the database of known vulnerabilities and scan with it
vulndb:
	@$(GO) -C .ci/vulncheck get golang.org/x/vulndb@latest
	@$(GO) -C .ci/vulncheck mod tidy
	@.ci/scan

## clean: remove what was built
clean:
	@rm -rf bin

## help: list the targets
help:
	@sed -n 's/^## //p' Makefile

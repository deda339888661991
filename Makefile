# The two commands a newcomer needs: make run, make test.
# Both install what is missing first; see scripts/require.

GO        ?= go
ARGS      ?=
TESTFLAGS ?=
PACKAGES  ?= ./...

# The Go release that go.mod names has the security fixes. Many systems set
# "local", which ignores it; GOTOOLCHAIN=local in the environment keeps that.
export GOTOOLCHAIN ?= auto

.PHONY: run test race bench generate build vulndb clean

# Serves on http://127.0.0.1:8080; ARGS="-addr :0" and the like pass flags on.
# The program itself takes make's place in the shell, so that a signal to make
# reaches it, which a "go run" in between would swallow.
run:
	@scripts/require run
	@$(GO) build -o bin/allcores ./cmd/web
	@exec bin/allcores $(ARGS)

# All tests, on one private PostgreSQL for the whole run. One package at a time:
# many tests measure how long tasks take, and others start browsers.
test: export ALLCORES_TEST_BROWSER = 1
test:
	@scripts/require test
	@$(GO) build -o bin/hold ./cmd/hold
	@exec bin/hold $(GO) test -p 1 $(TESTFLAGS) $(PACKAGES)

# The race detector, which needs a C compiler, on what runs concurrently.
race: PACKAGES = ./internal/jobs/... ./internal/store/...
race:
	@scripts/require race
	@$(GO) build -o bin/hold ./cmd/hold
	@exec bin/hold $(GO) test -race -p 1 $(TESTFLAGS) $(PACKAGES)

# Allcores beside its peers, as a Markdown table; ARGS="-rows million -runs 1"
# and the like pass flags on.
bench:
	@scripts/require run
	@$(GO) build -o bin/allcores ./cmd/web
	@$(GO) build -o bin/bench ./cmd/bench
	@exec bin/bench -server bin/allcores $(ARGS)

# Go from the .templ files; the result is committed.
generate:
	@$(GO) tool templ generate

build:
	@$(GO) build -o bin/allcores ./cmd/web

# The latest database of known vulnerabilities, then a scan with it.
vulndb:
	@$(GO) -C .ci/vulncheck get golang.org/x/vulndb@latest
	@$(GO) -C .ci/vulncheck mod tidy
	@.ci/scan

clean:
	@rm -rf bin

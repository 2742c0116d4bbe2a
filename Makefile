# Every target is one line that can be typed by hand too.
# `make demo` and `make test` need Go and make, nothing else; what another
# target needs beyond that, the target installs.

GO          ?= go
PREFIX      ?= /usr/local
DESTDIR     ?=
FUZZTIME    ?= 30s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS     := -s -w $(if $(VERSION),-X github.com/keylime/keylime-tenant/cmd/internal/cli.version=$(VERSION))
BIN         := bin/keylime_tenant

export CGO_ENABLED = 0

.PHONY: all build demo test race lint fuzz bench interop ci install uninstall generate check-generated clean

all: build

build: ## one static binary in bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/keylime_tenant

demo: build ## the documented chapter, on the embedded lab
	$(BIN) lab demo

test: ## unit tests, scenarios on the lab, fuzz seeds, architecture
	$(GO) test -timeout 15m ./...

race: ## the same under the race detector, which needs a C compiler
	@command -v cc >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; }
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./...

lint: ## formatting, vet, staticcheck (pinned)
	@bad=$$(gofmt -l cmd tenant client policy payload completions); if [ -n "$$bad" ]; then echo "gofmt would change:" $$bad; exit 1; fi
	$(GO) vet ./... && $(GO) vet -tags interop ./tenant/lab/interop
	$(GO) run $(STATICCHECK) ./... && $(GO) run $(STATICCHECK) -tags interop ./tenant/lab/interop

fuzz: ## every fuzz target for FUZZTIME each
	sh tenant/lab/interop/fuzz.sh $(FUZZTIME)

bench: build ## benchmarks beside the code, and ratios against other tools
	$(GO) test -run '^$$' -bench . -benchmem ./policy/... ./tenant/quote ./payload && sh tenant/lab/interop/bench.sh $(BIN)

interop: build ## both directions with the real Keylime 7.14.3; installs what it needs
	sh tenant/lab/interop/run.sh $(BIN)

generate: ## completions
	$(GO) run ./cmd/keylime_tenant completion --all completions

check-generated: generate
	git diff --exit-code -- completions

ci: lint test race interop ## what .ci/run runs

TOOLS := create_allowlist create_allowlist.sh create_mb_refstate create_runtime_policy create_runtime_policy.sh ek-openssl-verify keylime-policy keylime_attest keylime_ca \
	keylime_convert_runtime_policy keylime_create_policy keylime_oneshot_attestation keylime_sign_runtime_policy keylime_upgrade_config keylime_userdata_encrypt

# Those that Keylime's packages have in share/keylime/scripts.
SCRIPTS := create_mb_refstate create_runtime_policy.sh ek-openssl-verify keylime_oneshot_attestation

install: build ## binary, the old tools by name and at their old places, completions and man pages under DESTDIR/PREFIX
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/keylime_tenant
	for t in $(TOOLS); do ln -sf keylime_tenant $(DESTDIR)$(PREFIX)/bin/$$t; done
	install -d $(DESTDIR)$(PREFIX)/share/keylime/scripts
	for t in $(SCRIPTS); do sed "s/@TOOL@/$$t/g" cmd/keylime_tenant/oldscript.in > $(DESTDIR)$(PREFIX)/share/keylime/scripts/$$t && chmod 0755 $(DESTDIR)$(PREFIX)/share/keylime/scripts/$$t || exit 1; done
	$(BIN) man $(DESTDIR)$(PREFIX)/share/man/man1
	install -D -m 0644 completions/keylime_tenant.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/keylime_tenant
	install -D -m 0644 completions/_keylime_tenant $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_keylime_tenant
	install -D -m 0644 completions/keylime_tenant.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/keylime_tenant.fish

uninstall: ## what install has put there
	cd $(DESTDIR)$(PREFIX) && rm -f bin/keylime_tenant $(TOOLS:%=bin/%) $(SCRIPTS:%=share/keylime/scripts/%) share/man/man1/keylime_tenant*.1 $(TOOLS:%=share/man/man1/%.1) \
		share/bash-completion/completions/keylime_tenant share/zsh/site-functions/_keylime_tenant share/fish/vendor_completions.d/keylime_tenant.fish

clean:
	rm -rf bin

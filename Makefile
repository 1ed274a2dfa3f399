# Everything a developer or a curious person runs. Each target installs what it needs.
RUN := tools/with-venv

.PHONY: help demo demo-down test lint unit hosts proof-programs proof-outages proof-hosts proof-backfill proof-preview rollout interrupts lifecycle bench chaos faults fuzz pythons artifacts lock pictures new-rule variables relock proof-rules proof-rollout bench-scale bench-fleet

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: ## a fleet of real systemd hosts on this machine, real events, and their points read back from Graphite and Loki
	@$(RUN) python3 -m fleet.demo

demo-down: ## remove the demo fleet and its network
	@$(RUN) python3 -m fleet down demo

test: ## linters, unit tests, molecule: all that must be green
	@$(RUN) tools/test

lint: ## linters alone
	@$(RUN) tools/test lint

unit: ## unit tests alone
	@$(RUN) tools/test unit

hosts: ## the tests on real hosts alone: refusals, molecule
	@$(RUN) tools/test hosts

proof-programs: ## every pack on lines of the real programs of Debian 11, 12, 13, caused on purpose (8 minutes; writes docs/proof/programs.md)
	@$(RUN) python3 -m fleet.programs

proof-outages: ## Telegraf, Loki and carbon fail in turn under real events (25 minutes; writes docs/proof/outages.md)
	@$(RUN) python3 -m fleet.outages

proof-hosts: ## real rsyslog, logrotate, journald under 1,000 lines/s, Telegraf killed twenty times (30 minutes; writes docs/proof/hosts.md)
	@$(RUN) python3 -m fleet.hostchaos $(HOSTS)

proof-backfill: ## history for new rules on a real host into a real carbon, twice (10 minutes; writes docs/proof/backfill.md)
	@$(RUN) python3 -m fleet.backfilling

proof-preview: ## 100 rules beside 100 others over 1 GB of logs (5 minutes; writes docs/proof/preview.md)
	@$(RUN) python3 -m bench.preview

proof-rules: ## rules on many real hosts: previews, canaries, kills, bad sets (make proof-rules HOSTS=20; writes docs/proof/rules.md)
	@$(RUN) python3 -m fleet.rules_proof --hosts $(or $(HOSTS),20)

bench-scale: ## what a host costs the controller, with and without mitogen (make bench-scale HOSTS=1000; writes docs/proof/scale.md)
	@$(RUN) python3 -m fleet.scale_bench --hosts $(or $(HOSTS),1000)

proof-rollout: ## twelve ways in which a rollout goes wrong (make proof-rollout HOSTS=10; writes docs/proof/rollout.md)
	@$(RUN) python3 -m fleet.failures_proof --hosts $(or $(HOSTS),10)

bench-fleet: ## a first install and a run without a change on real hosts, beside plain tasks (make bench-fleet HOSTS=20; writes docs/proof/fleet.md)
	@$(RUN) python3 -m fleet.cost --hosts $(or $(HOSTS),20)

bench: ## the parser beside mtail, promtail, Telegraf, ripgrep and others (an hour; writes docs/proof/bench.md); BENCH=--help
	@$(RUN) python3 -m bench $(BENCH)

rollout: ## broken canaries, hosts that are not confirmed, power cuts, two operators, drift, on real hosts (half an hour)
	@$(RUN) pytest -q tests/rollout

interrupts: ## the controller killed before and during every task, then run again (an hour; writes docs/proof/interrupts.md)
	@$(RUN) python3 -m rollout.interrupts $(INTERRUPTS)

lifecycle: ## install, upgrade, downgrade, rollback, remove on Debian 11, 12, 13 (half an hour; writes docs/proof/lifecycle.md)
	@$(RUN) python3 -m rollout.lifecycle

chaos: ## 10,000 random schedules, a crash at every call, planted faults (docs/proof/chaos.md); SCHEDULES=500 SEED=1: that many alone
	@$(RUN) python3 -m proving.chaos $(SCHEDULES) $(SEED)

fuzz: ## any bytes as logs, states, rules, configuration, under atheris (half an hour of it, in a process for each core; writes docs/proof/fuzz.md)
	@$(RUN) nice python3 -m fuzz $(MINUTES)

faults: ## the tests are tested: faults planted in the parser, one at a time (writes docs/proof/faults.md)
	@$(RUN) python3 -m proving.faults_found

pythons: ## the parser's unit tests and 500 schedules on Python 3.8 to 3.14 (writes docs/proof/pythons.md); VERSIONS="3.8 3.14"
	@$(RUN) python3 -m proving.pythons $(VERSIONS)

artifacts: ## build Loki and Telegraf into the cache and print where
	@$(RUN) python3 -m fleet.artifacts

lock: ## pin upstream's artifacts by their published sha256: make lock LOKI=3.7.8 TELEGRAF=1.39.3 [KEYRING=influxdata.gpg] [MIRROR=URL]
	@$(RUN) tools/lock.py --loki $(LOKI) --telegraf $(TELEGRAF) $(if $(MIRROR),--mirror $(MIRROR)) $(if $(KEYRING),--keyring $(KEYRING))

pictures: ## the pictures of the report in docs/, by a real browser
	@$(RUN) python3 -m fleet.pictures

new-rule: ## from a line of a log to a rule with tests: asks for the line (PACK=name appends it to that pack)
	@$(RUN) python3 -m logmetrics new-rule $(if $(PACK),--pack $(PACK)) $(NEW_RULE)

variables: ## write README's table of variables anew from the role's argument_specs and defaults
	@$(RUN) tools/variables.py --write

relock: ## pin requirements.in anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade \
	  --custom-compile-command "make relock" requirements.in -o requirements.lock

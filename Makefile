# SPPS: every target does its own set-up (sim/setup.sh: system packages where allowed, .venv with pinned versions).
PRESET ?= tiny
SEED   ?=
CASES  ?=
PY     := .venv/bin/python
SPPS   := .venv/bin/spps
LINT   := $(PY) -m ruff check
TYPES  := $(PY) -m pyright

.PHONY: help setup demo lint quick test long bench campaign compare examples netem verilog synth synth-core docs docs-check clean
help:
	@echo "make demo      four real TCP transfers through a pair of SPPS; the active one dies, comes back, and the other dies"
	@echo "make quick     lint, types, unit and microcode tests"
	@echo "make test      all tests: unit, cocotb, formal, system"
	@echo "make long      the same tests with more random traffic: ten thousand frames where make test has a thousand"
	@echo "make campaign  kill the active at 500 cycles of a short transfer; CASES=10000: crossed with every other failure"
	@echo "make compare   the same transfers through HAProxy with keepalived, beside the last demo; installs both as root"
	@echo "make bench     clocks per event, and goodput of whole units, into build/bench/summary.json"
	@echo "make netem     the test behind netem in a virtual machine, where this kernel has no sch_netem"
	@echo "make verilog   PRESET=tiny|gbe|oc192: plain Verilog into build/verilog/PRESET, linted"
	@echo "make synth     PRESET=gbe|oc192|tiny: yosys and nextpnr for ECP5, table in build/synth/PRESET"
	@echo "make synth-core  the same for one protocol core with its memories, alone"
	@echo "make docs      regenerate instruction set, register map and boundaries of the blocks"
	@echo "make lint      ruff and pyright"
	@echo "make examples  an SPPS in an Amaranth design, and in a Verilog top"
setup:
	@sh sim/setup.sh
demo: setup
	@$(SPPS) demo $(if $(SEED),--seed $(SEED))
quick: lint
	@$(PY) -m pytest -m "not rtl and not slow" $(TESTARGS)
test: setup
	@$(PY) -m pytest $(TESTARGS)
long: setup
	@SPPS_LONG=1 $(PY) -m pytest $(TESTARGS)
bench: setup
	@$(SPPS) bench
campaign: setup
	@$(SPPS) campaign $(if $(CASES),--all --cases $(CASES),--cycles 500) $(if $(SEED),--seed $(SEED))
compare:
	@sh sim/setup.sh compare
	@$(SPPS) compare $(if $(SEED),--seed $(SEED))
netem:
	@sh sim/netem.sh
verilog: setup
	@$(SPPS) verilog --preset $(PRESET)
synth: setup
	@$(SPPS) synth --preset $(PRESET)
synth-core: setup
	@$(SPPS) synth --block core --seeds 1,2,3,4,5
docs: setup
	@$(SPPS) isa > hdl/spps/ucode/ISA.md
	@$(SPPS) registers > hdl/spps/mmc/REGISTERS.md
	@$(SPPS) registers --format json > hdl/spps/mmc/registers.json
	@$(SPPS) boundaries > hdl/spps/BOUNDARIES.md
docs-check: docs
	@git diff --exit-code --stat -- hdl/spps/ucode/ISA.md hdl/spps/mmc hdl/spps/BOUNDARIES.md
examples: setup
	@$(PY) -m pytest $(TESTARGS) tests/examples
lint: setup
	@$(LINT)
	@$(TYPES)
clean:
	rm -rf build

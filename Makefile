# One word for each thing one does here. Every verb sets up what it needs; `make` alone lists them.

PYTHON ?= python3
DEMO_ARGS ?=
BENCH_ARGS ?=
TEST_ARGS ?=
TEST_WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.installed
LOCK := requirements.lock

# Installed beside the packages, without what it asks for: both sides run on the same torch and transformers.
PEERS := trl==1.16.0 datasets==5.2.0 dill==0.4.1 multiprocess==0.70.19 xxhash

# evalica and arena-rank ask for another numpy, so they get packages of their own.
ELO_PEERS := evalica==0.4.2 arena-rank==0.1.1

# The last TRL with a PPO trainer that can be used, and the transformers it wants; torch is the project's own.
PPO_PEERS := trl==0.21.0 transformers==4.55.4 tokenizers==0.21.4 huggingface-hub==0.34.4 accelerate==1.10.1 \
	peft==0.17.1 datasets==4.4.1 dill==0.4.0 multiprocess==0.70.18 xxhash==3.6.0

.PHONY: help install demo test check bench bench-pm bench-elo bench-ppo docs tour lock
help:
	@echo "make VERB, where VERB is one of"
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

install: $(READY) ## set up .venv with the versions of requirements.lock (the other verbs do it by themselves)

demo: $(READY) ## the whole circle on this machine, from nothing; DEMO_ARGS="--quick" for the small one
	@$(BIN)/concordant demo $(DEMO_ARGS)

test: $(READY) ## all tests, by two processes; TEST_ARGS="-k sampler" for some of them
	@PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p require_all -n $(TEST_WORKERS) --dist worksteal $(TEST_ARGS)

check: $(READY) ## what a commit must pass: format, lint, types, layers, docs
	@echo "Format and lint …" && $(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@echo "Types …" && $(BIN)/mypy --no-error-summary
	@echo "Layers and docs …" && $(BIN)/python -m pytest --quiet tests/test_layers.py tests/test_docs.py

bench: $(READY) ## the side-by-side measurements in benchmarks/; each writes its JSON beside itself
	@for script in $(filter-out %_against_trl.py %_against_peers.py %/matmul.py %/machine.py,$(wildcard benchmarks/*.py)); do echo "$$script …" && $(BIN)/python "$$script" || exit 1; done

bench-pm: $(READY) ## train a preference model here and with TRL; BENCH_ARGS="--data FILE" for real comparisons
	@test -d benchmarks/.peers/trl || $(BIN)/python -m pip install -qq --no-deps --target benchmarks/.peers $(PEERS)
	@$(BIN)/python benchmarks/pm_against_trl.py $(BENCH_ARGS)

bench-elo: $(READY) ## ratings here, with evalica and with arena-rank: the same numbers, and the time
	@test -d benchmarks/.peers-elo/arena_rank || $(BIN)/python -m pip install -qq --target benchmarks/.peers-elo $(ELO_PEERS)
	@$(BIN)/python benchmarks/elo_against_peers.py $(BENCH_ARGS)

bench-ppo: $(READY) ## PPO here and with TRL's last PPO trainer, then sampling alone; BENCH_ARGS="--data FILE" for real prompts
	@test -d benchmarks/.peers-ppo/trl || $(BIN)/python -m pip install -qq --no-deps --target benchmarks/.peers-ppo $(PPO_PEERS)
	@$(BIN)/python benchmarks/ppo_against_trl.py $(BENCH_ARGS)
	@$(BIN)/python benchmarks/generation_speed.py

docs: $(READY) ## rewrite the pages of docs/ that are made from the code
	@$(BIN)/python docs/generate.py

tour: $(READY) ## take the pictures of docs/tour.md anew, in Chromium
	@$(BIN)/python docs/make_tour.py

lock: $(READY) ## write the versions that stand in .venv to requirements.lock
	@$(BIN)/python -m pip check
	@sed -n '/^#/p' $(LOCK) > $(LOCK).new
	@$(BIN)/python -m pip freeze --all --exclude-editable | sed -E '/^(pip==|nvidia-|cuda-|triton)/d; s/\+.*//' >> $(LOCK).new
	@mv $(LOCK).new $(LOCK)

# torch comes first and alone: asked for together with the rest, pip may choose its build by another package's needs.
$(READY): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Concordant needs Python 3.11 or newer, and $(PYTHON) is older; try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv (about 3 minutes, 2 GB, once) …"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "  torch …" && $(BIN)/python -m pip install -qq "$$(grep '^torch==' $(LOCK))"
	@echo "  the other packages …" && $(BIN)/python -m pip install -qq --requirement $(LOCK)
	@echo "  concordant …" && $(BIN)/python -m pip install -qq --no-deps --editable .
	@touch $@

# Everything runs in .venv, made on first use from pyproject.toml and the pins in requirements.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Python compiles what is used when it first is: all of it would take half of the time of setting up.
PIP_OPTIONS := --disable-pip-version-check --no-compile -c requirements.txt
# What is compiled is kept, whatever the environment says: every process starts in half of the time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test ray soak lint docs links claims figures notebooks lab clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' Makefile

run: $(STAMP) ## set up, then decompose MobileNet-v2 to 2 shifts and print the table (ARGS="bits=3 ...")
	$(BIN)/python run.py model=mobilenet_v2 bits=2 $(ARGS)

test: $(STAMP) ## set up, then run the whole test suite
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

ray: .ray ## set up Ray beside the environment, for its tests

soak: $(STAMP) ## kill sweeps, damage files, give wrong command lines (MINUTES=30, or KILLS=1000 LINES=200 ...)
	$(BIN)/python -m tools.soak $(foreach name,MINUTES SEED KILLS CORRUPTIONS LINES,$(if $($(name)),$(name)=$($(name))))

lint: $(STAMP) ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP) ## build the documentation site, docs/_build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -j 2 docs docs/_build/html

links: $(STAMP) ## visit the links of the documentation to other sites
	$(BIN)/python -m sphinx -b linkcheck -q -j 2 docs docs/_build/links

claims: $(STAMP) ## judge the paper's claims by the rows in results/, also in README.md
	$(BIN)/python -m swis.analysis
	$(BIN)/python -m tools.readme

figures: $(STAMP) ## draw all figures from the rows in results/
	$(BIN)/python -m swis.gallery

notebooks: $(STAMP) ## execute the notebooks and keep their outputs
	$(BIN)/python tools/notebooks.py

lab: $(STAMP) ## open JupyterLab on the notebooks; it prints its address, for machines without a browser
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

clean: ## remove the environment and the built documentation
	rm -rf .venv .ray docs/_build

$(STAMP): pyproject.toml requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_OPTIONS) -e '.[notebooks,docs,dev]'
	touch $@

# Not in .venv: the launcher's package asks for a cloudpickle that joblib refuses, and its sweeps use none.
.ray: requirements.txt | $(STAMP)
	$(BIN)/python -m pip install $(PIP_OPTIONS) --no-deps --upgrade --target $@ \
		hydra-ray-launcher msgpack protobuf ray
	touch $@

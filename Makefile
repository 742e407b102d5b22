# All targets run in .venv. The first target creates it from pyproject.toml and the versions in requirements.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Python compiles a module on its first import. To compile all modules now would take half of the setup time.
PIP_OPTIONS := --disable-pip-version-check --no-compile -c requirements.txt
# Compiled modules are always stored, so that later processes start in half of the time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test ray soak lint docs links claims figures notebooks lab clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' Makefile

run: $(STAMP) ## set up, then decompose MobileNet-v2 to 2 shifts and print the table (ARGS="bits=3 ...")
	$(BIN)/python run.py model=mobilenet_v2 bits=2 $(ARGS)

test: $(STAMP) ## set up, then run the whole test suite
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

ray: .ray ## install Ray in .ray, for its tests

soak: $(STAMP) ## kill sweeps, damage files, try wrong command lines (MINUTES=30, or KILLS=1000 LINES=200 ...)
	$(BIN)/python -m tools.soak $(foreach name,MINUTES SEED KILLS CORRUPTIONS LINES,$(if $($(name)),$(name)=$($(name))))

lint: $(STAMP) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP) ## build the documentation site, docs/_build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -j 2 docs docs/_build/html

links: $(STAMP) ## visit the links of the documentation to other sites
	$(BIN)/python -m sphinx -b linkcheck -q -j 2 docs docs/_build/links

claims: $(STAMP) ## compare the paper's claims with the rows in results/, also in README.md
	$(BIN)/python -m swis.analysis
	$(BIN)/python -m tools.readme

figures: $(STAMP) ## draw all figures from the rows in results/
	$(BIN)/python -m swis.gallery

notebooks: $(STAMP) ## execute the notebooks and store their outputs
	$(BIN)/python tools/notebooks.py

lab: $(STAMP) ## open JupyterLab in notebooks/; it prints its address, for machines without a browser
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

clean: ## remove the environment and the built documentation
	rm -rf .venv .ray docs/_build

$(STAMP): pyproject.toml requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_OPTIONS) -e '.[notebooks,docs,dev]'
	touch $@

# Not in .venv: the package of the Ray launcher requires a version of cloudpickle that joblib does not accept.
# Sweeps do not use cloudpickle, so --no-deps leaves it out.
.ray: requirements.txt | $(STAMP)
	$(BIN)/python -m pip install $(PIP_OPTIONS) --no-deps --upgrade --target $@ \
		hydra-ray-launcher msgpack protobuf ray
	touch $@

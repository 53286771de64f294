# Everything starts here; `make` alone lists the commands. Works with GNU make 3.81, which macOS ships.

PYTHON ?= $(shell for python in python3 python3.11 python3.13 python3.12 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; exit; }; done; echo python3)
SETUP = $(PYTHON) tools/bootstrap.py
# tools/jupyter quietens JupyterLab: no news, no grading menus (`make lab JUPYTER=` brings them back). Its workspace stays in .venv.
JUPYTER = $(CURDIR)/tools/jupyter
ROOT_FLAG = $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help lab test quick test-long build debug format exercises chapters diagrams book release lock clean python

help:                    ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1|/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

lab: python              ## set up and open JupyterLab at the table of contents (ARGS=--no-browser prints the URL)
	@JUPYTER_CONFIG_PATH="$(JUPYTER)" JUPYTERLAB_WORKSPACES_DIR="$(CURDIR)/.venv/workspaces" \
		$(SETUP) jupyter lab $(ROOT_FLAG) $(ARGS) index.ipynb

# As many tests at a time as there are processors; those that measure time run at the end, alone (tools/alone.py).
PYTEST = python -m pytest -n auto --durations=30

test: python             ## set up and run all tests, notebooks included (ARGS=tests/test_x.py runs some)
	@$(SETUP) --debug $(PYTEST) $(ARGS)

# What is wrong most often and is found in less than a minute: form, imports, packing, contract, buffers, vectorizers.
QUICK = $(addprefix tests/test_,$(addsuffix .py,house packaging notebooks env check squared advantage buffer policy vector emulation))

quick: python            ## the tests that find most of what is wrong within a minute
	@$(SETUP) $(PYTEST) -q $(QUICK) $(ARGS)

test-long: python        ## the tests that take minutes, less those that passed with the same inputs (ARGS=--all: all)
	@$(SETUP) --debug $(PYTEST) -m long $(ARGS)

build: python            ## compile what has changed
	@$(SETUP)

debug: python            ## the same, and the debug build that PUFFER_DEBUG=1 loads
	@$(SETUP) --debug

# Not `ruff format`: it knows one layout, and here a table stands as a table and a call as the reader takes it in.
format: python           ## mend what ruff can: imports in order, no unused ones; then say what is left
	@$(SETUP) ruff check --fix $(ARGS)

exercises: python        ## write exercises/ from solutions/
	@$(SETUP) python -m puffer_min.course.exercises

chapters: python         ## execute chapters in place, with alt texts (ARGS=chapters/05_vectorization.ipynb)
	@$(SETUP) python tools/notebooks.py $(ARGS)

diagrams: python         ## draw chapters/diagrams from tools/diagrams
	@$(SETUP) python tools/diagrams

book: python             ## the course as a site in build/book/html, from the committed outputs (ARGS=pdf)
	@$(SETUP) python tools/book $(ARGS)

release: python          ## a level for nbgrader (LEVEL=3)
	@case "$(LEVEL)" in [1-9]|10) ;; *) echo "LEVEL=$(LEVEL) given, expected a level from 1 to 10: make release LEVEL=3" >&2; exit 2;; esac
	@$(SETUP) python -m puffer_min.course.exercises release --level $(LEVEL) $(ARGS)

lock: python             ## write requirements.lock from what .venv holds
	@$(SETUP) python tools/lock.py

clean:                   ## remove everything that was built; .venv too with ARGS=all
	rm -rf build dist *.egg-info envs/.manifest-*.json $(if $(filter all,$(ARGS)),.venv)
	find envs puffer_min -name '*.so' -delete

python:
	@command -v $(PYTHON) >/dev/null || { echo "No Python was found: install Python 3.11 or newer," \
		"or name it with \`make lab PYTHON=/path/to/python3.11\`." >&2; exit 1; }

"""How the tests are run, whichever of them are asked for: see tools/alone.py and tools/unchanged.py."""

pytest_plugins = ["alone", "unchanged"]

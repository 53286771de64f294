"""The set-up says what a machine lacks in one sentence with the command that mends it, and does nothing twice."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import bootstrap
import pytest

import conftest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """A machine with an empty PATH and no CC; returns a function that puts an executable on the PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Linux")

    def add(name, script="#!/bin/sh\nexit 0\n"):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)

    return add


def is_one_sentence(text: str) -> bool:
    return "\n" not in text and text.endswith(".") and len(re.findall(r"[.!?] ", text)) == 0


@pytest.mark.parametrize(("manager", "command"), [("apt-get", "apt-get install -y build-essential"), ("dnf", "dnf install -y gcc")])
def test_a_missing_compiler_is_one_sentence_with_the_command_that_mends_it(bare_machine, manager, command):
    bare_machine(manager)
    with pytest.raises(bootstrap.Missing, match="No C compiler was found") as missing:
        bootstrap.require_compiler()
    assert command in str(missing.value) and is_one_sentence(str(missing.value))


def test_a_missing_compiler_on_macos_names_xcode_select(bare_machine, monkeypatch):
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Darwin")
    with pytest.raises(bootstrap.Missing, match="`xcode-select --install`"):
        bootstrap.require_compiler()


def test_a_missing_compiler_on_an_unknown_system_names_the_commands_of_the_known_ones(bare_machine):
    with pytest.raises(bootstrap.Missing, match="your package manager.*apt-get install -y build-essential.*dnf install -y gcc"):
        bootstrap.require_compiler()


def test_a_compiler_that_cannot_compile_is_said_to_be_broken(bare_machine):
    bare_machine("cc", "#!/bin/sh\nexit 1\n")
    bare_machine("apt-get")
    with pytest.raises(bootstrap.Missing, match="cannot compile a program of two lines.*apt-get install -y build-essential") as missing:
        bootstrap.require_compiler()
    assert is_one_sentence(str(missing.value))


def test_the_first_compiler_that_exists_is_taken_when_the_one_python_was_built_with_is_not_there(bare_machine, monkeypatch):
    monkeypatch.setattr(bootstrap.sysconfig, "get_config_var", lambda name: "some-other-clang -pthread")
    bare_machine("clang")
    assert bootstrap.find_compiler() == ["clang"]
    bare_machine("some-other-clang")
    assert bootstrap.find_compiler() == ["some-other-clang", "-pthread"]


def test_a_cc_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent/gcc -m64")
    with pytest.raises(bootstrap.Missing, match="CC=/nonexistent/gcc -m64 names a C compiler that does not exist.*unset CC") as missing:
        bootstrap.require_compiler()
    assert is_one_sentence(str(missing.value))


def test_a_missing_python_header_is_one_sentence_with_the_command_that_mends_it(monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(bootstrap.Missing, match=r"Python\.h") as missing:
        bootstrap.require_compiler()
    assert str(tmp_path / "Python.h") in str(missing.value) and "install" in str(missing.value) and is_one_sentence(str(missing.value))


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_venv_module_is_one_sentence_with_the_command_that_mends_it(bare_machine, monkeypatch, module):
    bare_machine("apt-get")
    found = bootstrap.importlib.util.find_spec
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None if name == module else found(name))
    with pytest.raises(bootstrap.Missing, match=r"apt-get install -y python3\.\d+-venv") as missing:
        bootstrap.require_venv()
    assert is_one_sentence(str(missing.value))


def test_an_old_python_is_one_sentence_with_the_command_that_mends_it(bare_machine, monkeypatch):
    bare_machine("dnf")
    monkeypatch.setattr(bootstrap, "OLDEST", (9, 0))
    with pytest.raises(bootstrap.Missing, match=r"needs 3\.11 or newer.*dnf install -y python3\.11 python3\.11-devel.*PYTHON=") as missing:
        bootstrap.require_python()
    assert is_one_sentence(str(missing.value))


def test_sudo_is_part_of_the_command_for_everyone_but_root(bare_machine, monkeypatch):
    bare_machine("apt-get")
    for user, sudo in ((0, ""), (1000, "sudo ")):
        monkeypatch.setattr(bootstrap.os, "geteuid", lambda user=user: user)
        assert bootstrap.package_command(apt="x", dnf="y", xcode="z") == f"`{sudo}apt-get install -y x`"


@pytest.fixture
def fresh_folder(tmp_path):
    """What a clean clone holds of the set-up."""
    (tmp_path / "tools").mkdir()
    for name in ("tools/bootstrap.py", "requirements.lock", "Makefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def base_python() -> str:
    """The Python that .venv was made of: one that is not in it."""
    return str(Path(sys._base_executable).resolve())


def test_what_is_missing_is_said_before_anything_is_made(fresh_folder):
    said = subprocess.run(["make", "lab", f"PYTHON={base_python()}"], cwd=fresh_folder, env={**os.environ, "CC": "/nonexistent"},
                          capture_output=True, text=True)
    first, *rest = said.stderr.splitlines()
    assert said.returncode != 0 and "CC=/nonexistent names a C compiler that does not exist" in first
    assert all(line.startswith("make") for line in rest), rest
    assert not (fresh_folder / ".venv").exists()


def test_make_without_any_python_says_so(fresh_folder):
    said = subprocess.run(["make", "test", "PYTHON=/nonexistent/python"], cwd=fresh_folder, capture_output=True, text=True)
    assert said.returncode != 0 and said.stderr.startswith("No Python was found: install Python 3.11 or newer")


@pytest.fixture
def own_stamps(monkeypatch, tmp_path):
    """Stamps of an environment in tmp_path; any command that a stage runs is noted in the returned list and not run."""
    ran = []
    for name, value in (("VENV", tmp_path), ("STAMPS", tmp_path / "setup.json"), ("LOCK", tmp_path / "requirements.lock")):
        monkeypatch.setattr(bootstrap, name, value)
    (tmp_path / "requirements.lock").write_text("numpy==2.0.0\n")
    monkeypatch.setattr(bootstrap, "run_quietly", lambda command, log, doing, environment=None: ran.append((doing, environment)))
    return ran


def test_nothing_is_installed_twice(own_stamps):
    bootstrap.install_packages()
    bootstrap.install_packages()
    assert len(own_stamps) == 1 and "Installing 1 packages" in own_stamps[0][0]
    bootstrap.LOCK.write_text("numpy==2.1.0\n")
    bootstrap.install_packages()
    assert len(own_stamps) == 2


def test_an_installation_that_failed_is_tried_again(own_stamps, monkeypatch):
    bootstrap.install_packages()
    bootstrap.LOCK.write_text("numpy==2.1.0\n")

    def fail(*arguments):
        raise bootstrap.Missing("no network")

    monkeypatch.setattr(bootstrap, "run_quietly", fail)
    for _ in range(2):
        with pytest.raises(bootstrap.Missing):
            bootstrap.install_packages()
    bootstrap.LOCK.write_text("numpy==2.0.0\n")                     # back at the version that once was installed whole
    with pytest.raises(bootstrap.Missing):
        bootstrap.install_packages()


@pytest.fixture
def two_sources(monkeypatch, own_stamps, tmp_path):
    """A tree with two built Cython sources, `envs/one.pyx` and `envs/two.pyx`; returns the commands that were run."""
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "require_compiler", lambda: ["cc"])
    (tmp_path / "envs" / "core").mkdir(parents=True)
    shutil.copy(ROOT / "envs" / "core" / "compile_settings.py", tmp_path / "envs" / "core")
    (tmp_path / "puffer_min").mkdir(exist_ok=True)
    shutil.copy(ROOT / "puffer_min" / "cores.py", tmp_path / "puffer_min")
    (tmp_path / "setup.py").touch()
    for name in ("one", "two"):
        (tmp_path / "envs" / f"{name}.pyx").write_text(f"# {name}\n")
        (tmp_path / "envs" / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}").touch()
    settings = runpy.run_path(str(tmp_path / "envs" / "core" / "compile_settings.py"))
    manifest = {f"envs.{name}": settings["source_hash"](f"envs.{name}") for name in ("one", "two")}
    (tmp_path / "envs" / ".manifest-release.json").write_text(json.dumps(manifest))
    bootstrap.compile_sources(debug=False)                          # the first time, everything: nobody knows how it was built
    assert own_stamps.pop()[1]["PUFFER_ONLY"] == "envs/one.pyx,envs/two.pyx"
    return own_stamps


def test_a_build_is_renewed_when_content_changes_and_not_when_times_do(two_sources, tmp_path):
    os.utime(tmp_path / "envs" / "one.pyx", (2**31, 2**31))
    bootstrap.compile_sources(debug=False)
    assert two_sources == []
    (tmp_path / "envs" / "two.pyx").write_text("# other\n")
    bootstrap.compile_sources(debug=False)
    assert [environment["PUFFER_ONLY"] for _, environment in two_sources] == ["envs/two.pyx"]


def test_a_make_inside_make_finds_nothing_to_build(two_sources, monkeypatch):
    monkeypatch.setenv("CC", bootstrap.shlex.join(bootstrap.find_compiler()))       # as a command that the set-up runs sees it
    bootstrap.compile_sources(debug=False)
    assert two_sources == []


def test_a_missing_extension_is_built_again(two_sources, tmp_path):
    (tmp_path / "envs" / f"one{sysconfig.get_config_var('EXT_SUFFIX')}").unlink()
    bootstrap.compile_sources(debug=False)
    assert [environment["PUFFER_ONLY"] for _, environment in two_sources] == ["envs/one.pyx"]


@pytest.mark.parametrize("change", [
    lambda root, patch: (root / "setup.py").write_text("# other flags\n"),
    lambda root, patch: patch.setenv("PUFFER_MARCH", "x86-64-v2"),
    lambda root, patch: patch.setattr(bootstrap.sys, "version", "3.13.0"),
], ids=["settings", "processor", "python"])
def test_everything_is_built_again_for_other_settings(two_sources, tmp_path, monkeypatch, change):
    change(tmp_path, monkeypatch)
    bootstrap.compile_sources(debug=False)
    assert [environment["PUFFER_ONLY"] for _, environment in two_sources] == ["envs/one.pyx,envs/two.pyx"]


def test_the_debug_build_is_asked_for_by_its_variable_and_the_readers_own_is_put_back(monkeypatch):
    monkeypatch.setenv("PUFFER_SANITIZE", "1")
    monkeypatch.delenv("PUFFER_DEBUG", raising=False)
    with bootstrap.build_variables(debug=True):
        assert os.environ["PUFFER_DEBUG"] == "1" and "PUFFER_SANITIZE" not in os.environ
    assert os.environ["PUFFER_SANITIZE"] == "1" and "PUFFER_DEBUG" not in os.environ


def test_a_failing_command_shows_the_end_of_its_log_and_where_the_whole_is(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    command = [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"]
    sentence = r"the reason\n\nCompiling failed: the reason is above, and the whole output in build/release\.log\."
    with pytest.raises(bootstrap.Missing, match=sentence):
        bootstrap.run_quietly(command, tmp_path / "build" / "release.log", "Compiling")
    assert capsys.readouterr().out == "Compiling (log: build/release.log)\n"


def test_a_folder_that_was_moved_gets_a_new_environment(monkeypatch, own_stamps, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    bootstrap.write_stamp("folder", str(tmp_path))
    assert bootstrap.venv_python() == tmp_path / "bin" / "python"
    bootstrap.write_stamp("folder", "/somewhere/else")
    assert bootstrap.venv_python() is None


class BrowserTest:
    """As pytest hands a test with the marker `browser` to the hook."""

    def get_closest_marker(self, name):
        return name == "browser"


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_browser_test_without_a_browser_is_skipped_with_a_sentence_and_fails_in_ci(bare_machine, monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(outcome, match=r"need Chromium: install it with `apt-get install chromium`") as raised:
        conftest.pytest_runtest_setup(BrowserTest())
    assert is_one_sentence(raised.value.msg)
    bare_machine("chromium")
    conftest.pytest_runtest_setup(BrowserTest())


def test_help_lists_every_command_of_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"python"}
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets == {line.split()[1] for line in listed.splitlines()}


def test_an_unknown_level_is_refused_by_make_release():
    said = subprocess.run(["make", "release", "LEVEL=11"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode != 0 and said.stderr.startswith("LEVEL=11 given, expected a level from 1 to 10")

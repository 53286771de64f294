"""Sets the course up and runs a command in it. Standard library only; `make lab` and `make test` are this
script.

    python3 tools/bootstrap.py                        set up
    python3 tools/bootstrap.py jupyter lab            set up, then run the command with .venv first on the
                                                      PATH
    python3 tools/bootstrap.py --debug pytest         the same, with the debug build of the Cython as well

Four stages, each skipped when nothing it depends on has changed: create .venv, install requirements.lock,
install the project editable, compile the Cython sources that are newer than their build (by content, not by
time). A second run takes a second.

What the machine lacks is said before anything is downloaded, in one sentence with the command that mends it.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMPS = VENV / "setup.json"
LOCK = ROOT / "requirements.lock"
OLDEST = (3, 11)
OWN = f"python{sys.version_info[0]}.{sys.version_info[1]}"
PIP_INSTALL = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
COMPILERS = ("cc", "gcc", "clang")


class Missing(Exception):
    """The machine lacks something; the message is the sentence for the reader."""


# What the machine must have

def package_command(**names):
    """The command that installs a system package: `names` by package manager (apt, dnf, pacman, zypper, apk,
    xcode).
    """
    sudo = "" if os.geteuid() == 0 else "sudo "
    if platform.system() == "Darwin":
        return f"`{names['xcode']}`"
    for manager, install in (("apt", "apt-get install -y"), ("dnf", "dnf install -y"),
                             ("zypper", "zypper install -y"),
                             ("pacman", "pacman -S --noconfirm"), ("apk", "apk add")):
        if shutil.which(install.split()[0]) and manager in names:
            return f"`{sudo}{install} {names[manager]}`"
    return (f"your package manager (`{sudo}apt-get install -y {names['apt']}` on Debian and Ubuntu, "
            f"`{sudo}dnf install -y {names['dnf']}` on Fedora)")


def require_python():
    """Raise Missing unless this is a supported Python on a supported system."""
    if os.name != "posix":
        raise Missing("The course runs on Linux and macOS: on Windows install WSL with `wsl --install` and "
                      "run it there.")
    if sys.version_info < OLDEST:
        mend = package_command(apt="python3.11 python3.11-venv python3.11-dev",
                               dnf="python3.11 python3.11-devel",
                               zypper="python311 python311-devel", pacman="python", apk="python3 python3-dev",
                               xcode="brew install python@3.11")
        raise Missing(f"Python {platform.python_version()} was found and the course needs 3.11 or newer: "
                      f"install it with {mend} or name the one you have with `make lab "
                      "PYTHON=/path/to/python3.11`.")


def require_venv():
    """Raise Missing if this Python cannot create virtual environments: Debian ships ensurepip apart."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        mend = package_command(apt=f"{OWN}-venv", dnf="python3-pip", zypper="python3-pip",
                               pacman="python-pip", apk="py3-pip", xcode="brew install python@3.11")
        raise Missing(f"This Python ({sys.executable}) cannot create a virtual environment, because its "
                      f"`venv` or `ensurepip` module is missing: install it with {mend}.")


def find_compiler():
    """The C compiler's command: $CC, else the one this Python was built with, else the first of cc, gcc,
    clang.
    """
    chosen = os.environ.get("CC")
    if chosen:
        if shutil.which(shlex.split(chosen)[0]):
            return shlex.split(chosen)
        raise Missing(f"CC={chosen} names a C compiler that does not exist: give the path of one, or `unset "
                      "CC` to use the system's.")
    for command in (sysconfig.get_config_var("CC") or "", *COMPILERS):
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return words
    mend = package_command(apt="build-essential", dnf="gcc", zypper="gcc", pacman="gcc", apk="build-base",
                           xcode="xcode-select --install")
    raise Missing("No C compiler was found, and the environments are compiled from Cython: install one with "
                  f"{mend}.")


def require_compiler():
    """Raise Missing unless a C compiler compiles an extension module's first lines; return its command."""
    compiler = find_compiler()
    if not compiles(compiler, "#include <stdlib.h>\nint main(void) { return 0; }\n"):
        mend = package_command(apt="build-essential", dnf="gcc glibc-devel", zypper="gcc glibc-devel",
                               pacman="gcc", apk="build-base", xcode="xcode-select --install")
        raise Missing(f"The C compiler `{shlex.join(compiler)}` cannot compile a program of two lines: mend "
                      f"it with {mend}.")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not compiles(compiler, "#include <Python.h>\nint main(void) { return 0; }\n", "-I",
                    str(header.parent)):
        mend = package_command(apt=f"{OWN}-dev", dnf="python3-devel", zypper="python3-devel", pacman="python",
                               apk="python3-dev", xcode="brew install python@3.11")
        raise Missing(f"The header Python.h of this Python is missing ({header}), so nothing can be compiled "
                      f"for it: install it with {mend}.")
    return compiler


def compiles(compiler, source, *arguments):
    """Whether `compiler` accepts the C program `source`."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.c"
        program.write_text(source)
        command = [*compiler, *arguments, "-c", str(program), "-o", str(program.with_suffix(".o"))]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


# What has been done already

def read_stamps():
    try:
        return json.loads(STAMPS.read_text())
    except (FileNotFoundError, ValueError):
        return {}


def write_stamp(stage, value):
    """Record that `stage` was done for inputs of hash `value`; None forgets it."""
    STAMPS.write_text(json.dumps({**read_stamps(), stage: value}, indent=1) + "\n")


def hash_of(*parts):
    """Hash of texts and of files' contents."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update((part.read_bytes() if isinstance(part, Path) else str(part).encode()) + b"\0")
    return digest.hexdigest()[:16]


def run_quietly(command, log, doing, environment=None):
    """Run `command` with its output in the file `log` and a line of status on a terminal; Missing with the
    log's end if it fails.
    """
    print(f"{doing} (log: {log.relative_to(ROOT)})", flush=True)
    width = shutil.get_terminal_size().columns - 1
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as record:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in process.stdout:
            record.write(line)
            if sys.stdout.isatty():
                print("\r" + f"  {line.strip()}"[:width].ljust(width), end="", flush=True)
    if sys.stdout.isatty():
        print("\r" + " " * width, end="\r", flush=True)
    if process.wait() != 0:
        tail = "".join(log.read_text().splitlines(keepends=True)[-30:])
        raise Missing(f"{tail}\n{doing} failed: the reason is above, and the whole output in "
                      f"{log.relative_to(ROOT)}.")


# The stages

def venv_python():
    """The Python of .venv, or None if there is none that runs, or if the folder was moved: its scripts hold
    the old path.
    """
    python = VENV / "bin" / "python"
    if not python.exists() or read_stamps().get("folder", str(ROOT)) != str(ROOT):
        return None
    return python if subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0 else None


def create_venv():
    """An empty .venv of the Python that runs this script, after the machine has been found fit for all that
    follows.
    """
    require_python()
    require_venv()
    require_compiler()
    print(f"Creating .venv with Python {platform.python_version()}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    write_stamp("folder", str(ROOT))


def install_packages():
    """requirements.lock into .venv."""
    wanted = hash_of(LOCK)
    if read_stamps().get("packages") == wanted:
        return
    count = sum(1 for line in LOCK.read_text().splitlines() if "==" in line)
    write_stamp("packages", None)
    run_quietly([*PIP_INSTALL, "--requirement", str(LOCK)], VENV / "install.log",
                f"Installing {count} packages into .venv")
    write_stamp("packages", wanted)


def install_project():
    """The project itself, editable, so that `envs` and `puffer_min` import from anywhere."""
    wanted = hash_of(ROOT / "pyproject.toml")
    if read_stamps().get("project") == wanted:
        return
    run_quietly([*PIP_INSTALL, "--no-deps", "--no-build-isolation", "--editable", "."], VENV / "project.log",
                "Installing the project", {**os.environ, "PUFFER_ONLY": ""})
    write_stamp("project", wanted)


@contextlib.contextmanager
def build_variables(debug):
    """The variables that choose a build, set for the release or the debug build and put back afterwards."""
    before = {name: os.environ.pop(name, None) for name in ("PUFFER_DEBUG", "PUFFER_SANITIZE", "PUFFER_ONLY")}
    if debug:
        os.environ["PUFFER_DEBUG"] = "1"
    try:
        yield
    finally:
        os.environ.pop("PUFFER_DEBUG", None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def compile_sources(debug):
    """Every Cython source whose build is missing or was compiled from other content, with other settings or
    by another compiler.
    """
    build = "debug" if debug else "release"
    settings = runpy.run_path(str(ROOT / "envs" / "core" / "compile_settings.py"))
    configuration = hash_of(ROOT / "setup.py", ROOT / "envs" / "core" / "compile_settings.py", LOCK,
                            sys.version, platform.machine(),
                            shlex.join(find_compiler()), os.environ.get("PUFFER_MARCH"))
    sources = settings["sources"]()
    stale = ([source for source in sources if not is_fresh(source, settings)]
             if read_stamps().get(build) == configuration else sources)
    if stale:
        environment = {**os.environ, "CC": shlex.join(require_compiler()), "CYTHON_FORCE_REGEN": "1",
                       "PUFFER_ONLY": ",".join(map(str, stale))}
        cores = runpy.run_path(str(ROOT / "puffer_min" / "cores.py"))["cores"]()
        command = [sys.executable, "setup.py", "build_ext", "--force", f"--parallel={cores}",
                   *([] if debug else ["--inplace"])]
        run_quietly(command, ROOT / "build" / f"{build}.log",
                    f"Compiling {len(stale)} Cython sources, {build} build", environment)
        write_stamp(build, configuration)


def is_fresh(source, settings):
    """Whether the extension of `source` (relative to ROOT) exists in this build and was compiled from the
    content on disk.
    """
    module = ".".join(source.with_suffix("").parts)
    folder = ROOT if settings["build_name"]() == "release" else ROOT / "build" / settings["build_name"]()
    binary = folder / source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
    manifest = settings["manifest_path"]()
    return (binary.exists() and manifest.exists()
            and json.loads(manifest.read_text()).get(module) == settings["source_hash"](module))


def main(arguments):
    debug = arguments[:1] == ["--debug"]
    command = arguments[debug:]
    if Path(sys.prefix).resolve() != VENV.resolve():
        if venv_python() is None:
            create_venv()
        os.execv(VENV / "bin" / "python", [str(VENV / "bin" / "python"), __file__, *arguments])
    os.chdir(ROOT)
    install_packages()
    install_project()
    for build in (False, True) if debug else (False,):
        with build_variables(debug=build):
            compile_sources(debug=build)
    if not command:
        print("Ready: `make lab` opens the course, `make test` runs the tests.")
        return
    # a `make` that the command calls is not part of the one that called us
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        os.environ.pop(name, None)
    os.environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    os.environ["VIRTUAL_ENV"] = str(VENV)
    os.environ.setdefault("CC", shlex.join(find_compiler()))
    os.execvp(command[0], command)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Missing as sentence:
        sys.exit(str(sentence))

"""A process for an answer that nobody trusts: what it can see, what it may use, and how it ends.

Three modes, the safest that this machine allows is taken:

    bwrap       bubblewrap: namespaces of its own for files, network, processes and users
    unshare     the same by util-linux' `unshare`, `mount`, `chroot` and `setpriv`
    plain       an ordinary process: limits on time, memory and file size, a home folder that is thrown away

In the first two the process sees a root of its own: the system's programs, the Python environment and the
course's package, all read-only, and an empty /tmp. The checks, the solutions, submissions and gradebooks are
not in it, there is no network, and all its processes end with it. In the last it reads and writes what you
can.
"""

import ctypes
import functools
import os
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cloudpickle

from puffer_min.course import checks

MODES = ("bwrap", "unshare", "plain")
ROOT = Path(__file__).resolve().parents[2]
CHECKS = Path(checks.__file__).resolve().parent
HOME = "/tmp/home"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc/alternatives", "/etc/ld.so.cache",
          "/etc/passwd", "/etc/localtime")
DEVICES = ("null", "zero", "full", "random", "urandom")
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "CC", "CFLAGS", "LDFLAGS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
NOBODY = "65534"
MEMORY = 8 << 30                # bytes of memory that a process may write to
FILE = 512 << 20                # bytes of a file, and of all files together in a sandbox
TASKS = 256                     # processes and threads
MESSAGE = 256 << 20             # bytes of a reply
PROBE_SECONDS = 180.0           # a busy machine must not look like one without a sandbox
CLOSE_SECONDS = 10.0            # for killed processes to be gone
PR_SET_PDEATHSIG = 1

# $1 is an empty folder, which becomes the new root; then come words "bind PATH", "link PATH TARGET",
# "mask PATH" (an empty folder), then "--" and the command.
SCRIPT = """
set -e
R=$1; shift
mount --make-rprivate /
mount -t tmpfs -o size=64m,mode=755 tmpfs "$R"
bind() {
    if [ -d "$1" ]; then mkdir -p "$R$1"; else mkdir -p "$R${1%/*}"; : > "$R$1"; fi
    mount --bind "$1" "$R$1"
}
lock() { mount -o remount,bind,ro,nosuid,nodev "$R$1" 2>/dev/null || mount -o remount,bind,ro "$R$1"; }
mkdir -p "$R/proc" "$R/tmp" "$R/dev/shm"
mount -t tmpfs -o size=SIZE,mode=1777 tmpfs "$R/tmp"
mount -t tmpfs -o size=SIZE,mode=1777 tmpfs "$R/dev/shm"
while [ "$1" != -- ]; do
    case "$1" in
        bind) bind "$2"; lock "$2"; shift 2 ;;
        link) mkdir -p "$R${2%/*}"; ln -s "$3" "$R$2"; shift 3 ;;
        mask) mount -t tmpfs -o size=1m,mode=755 tmpfs "$R$2"; shift 2 ;;
    esac
done
shift
for name in DEVICES; do bind "/dev/$name"; done
mount -t proc proc "$R/proc"
mount -o remount,bind,ro "$R"
exec chroot "$R" setpriv IDENTITY --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
""".replace("DEVICES", " ".join(DEVICES)).replace("SIZE", str(FILE))


class Stopped(Exception):
    """The answer's process is gone; `why` is "timeout" or "died"."""

    def __init__(self, why):
        super().__init__(why)
        self.why = why


def search_path():
    """The folders of PYTHONPATH, the course's own first."""
    given = [str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)
             if entry]
    return list(dict.fromkeys([str(ROOT), *given]))


def environment(home):
    """The variables an answer's process gets: none of the judge's secrets."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"HOME": home, "TMPDIR": home if home != HOME else "/tmp", "USER": "student",
                   "PYTHONPATH": os.pathsep.join(search_path()), "PYTHONDONTWRITEBYTECODE": "1",
                   "IPYTHONDIR": f"{home}/.ipython", "PUFFER_CACHE": f"{home}/.cache/puffer"}


@functools.cache
def view():
    """What the sandbox's root holds, in the order in which it is put there: ("bind", path), ("link", path,
    target), ("mask", folder).
    """
    python = {Path(prefix) for prefix in (sys.prefix, sys.base_prefix)}
    paths = [Path(path) for path in SYSTEM]
    paths += [prefix for prefix in sorted(python) if not prefix.is_relative_to("/usr")]
    paths += [ROOT / "puffer_min", ROOT / "envs"]
    paths += [Path(entry) for entry in search_path() if Path(entry) != ROOT]
    words = []
    for path in paths:
        if path.is_symlink() and str(path) in SYSTEM:
            words.append(("link", str(path), os.readlink(path)))
        elif path.exists():
            words.append(("bind", str(path)))
    return (*words, ("mask", str(CHECKS)), ("bind", str(CHECKS / "__init__.py")))


def command(mode, root):
    """The command that runs the answer's process in `mode`; `root` is an empty folder."""
    python = [sys.executable, "-m", "puffer_min.course.answering"]
    if mode == "plain":
        return python
    if mode == "bwrap":
        words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
                 "--size", str(FILE), "--tmpfs", "/tmp"]
        flags = {"bind": lambda path: ["--ro-bind", path, path],
                 "link": lambda path, target: ["--symlink", target, path],
                 "mask": lambda folder: ["--tmpfs", folder]}
        for kind, *rest in view():
            words += flags[kind](*rest)
        return [*words, "--proc", "/proc", "--dev", "/dev", "--size", str(FILE), "--tmpfs", "/dev/shm",
                "--remount-ro", "/", "--chdir", "/", *python]
    root_user = os.geteuid() == 0
    identity = f"--reuid={NOBODY} --regid={NOBODY} --clear-groups" if root_user else ""
    spaces = ["-m", "-n", "-p", "-i", "-u", *([] if root_user else ["-U", "-r"])]
    return ["setpriv", "--pdeathsig", "KILL", "unshare", *spaces, "-f", "--kill-child=KILL",
            "sh", "-c", SCRIPT.replace("IDENTITY", identity), "sandbox", root,
            *(word for words in view() for word in words), "--", *python]


@functools.cache
def best_mode():
    """The safest mode in which a process starts here, tried once."""
    return next((mode for mode in MODES[:-1] if works(mode)), "plain")


def works(mode):
    """Whether an answer's process starts in `mode` and answers."""
    if mode != "plain" and shutil.which(mode) is None:
        return False
    try:
        with Process(mode) as process:
            process.ask(("cell", "pass"), PROBE_SECONDS)
    except (Stopped, OSError):
        return False
    return True


def limit(mode, seconds):
    """Sets the calling process's limits for good; the answer's process calls it before it runs anything."""
    def lower(kind, most):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))

    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_DATA, MEMORY)
    lower(resource.RLIMIT_FSIZE, FILE)
    lower(resource.RLIMIT_NOFILE, 1024)
    lower(resource.RLIMIT_CPU, int(seconds * (os.cpu_count() or 1)) + 60)
    if sys.platform == "linux":
        lower(resource.RLIMIT_NPROC, TASKS + (tasks_of(os.getuid()) if mode == "plain" else 0))
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def tasks_of(user):
    """How many processes and threads a user has; the limit counts all of them in plain mode."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += len(os.listdir(process / "task")) if process.stat().st_uid == user else 0
        except OSError:
            continue                                        # it has ended meanwhile
    return found


def descendants(process):
    """The processes that a process has started, and those that these have, as far as they still have their
    parent.
    """
    found, parents = [], [process]
    while parents:
        try:
            children = Path(f"/proc/{parents[0]}/task/{parents[0]}/children").read_text().split()
        except OSError:
            children = []
        parents = [*parents[1:], *map(int, children)]
        found += map(int, children)
    return found


class Process:
    """One answer's process. Use it as a context manager: at its end the process, its children and its folder
    are gone.

    mode: one of MODES. seconds: what it may use in all, for the limit on processor time.
    """

    def __init__(self, mode, seconds=600.0):
        self.folder = tempfile.mkdtemp(prefix="answer-")
        home = self.folder if mode == "plain" else HOME
        self.process = subprocess.Popen(
            command(mode, self.folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, cwd=self.folder, start_new_session=True,
            env=environment(home) | {"ANSWER_LIMITS": f"{mode} {seconds:.0f}"})
        self.given, self.taken = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.given, False)
        os.set_blocking(self.taken, False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, request, seconds):
        """Sends a request and returns the bytes of the reply. Raises Stopped when the process is dead, floods
        the pipe or is late; it is then killed.
        """
        deadline = time.monotonic() + seconds
        try:
            data = cloudpickle.dumps(request)
            self._send(struct.pack("<Q", len(data)) + data, deadline)
            size, = struct.unpack("<Q", self._receive(8, deadline))
            if size > MESSAGE:
                raise Stopped("died")
            return self._receive(size, deadline)
        except Stopped:
            self.close()
            raise
        except OSError:
            self.close()
            raise Stopped("died") from None

    def close(self):
        """Kills the process and all that it started, and removes its folder. May be called twice."""
        # when the first process of a namespace dies, the others die with it, whatever they have changed
        family = descendants(self.process.pid)
        for kill, process in [(os.killpg, self.process.pid), *((os.kill, process) for process in family)]:
            try:
                kill(process, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue                                    # it has ended already
        self.process.wait()
        deadline = time.monotonic() + CLOSE_SECONDS
        while any(Path(f"/proc/{process}").exists() for process in family) and time.monotonic() < deadline:
            time.sleep(0.01)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass                                        # what was still to be written is lost
        shutil.rmtree(self.folder, ignore_errors=True)

    def _send(self, data, deadline):
        view = memoryview(data)
        while view:
            self._wait([], [self.given], deadline)
            view = view[os.write(self.given, view):]

    def _receive(self, size, deadline):
        parts = bytearray()
        while len(parts) < size:
            self._wait([self.taken], [], deadline)
            part = os.read(self.taken, min(size - len(parts), 1 << 20))
            if not part:
                raise Stopped("died")
            parts += part
        return bytes(parts)

    def _wait(self, reading, writing, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not any(select.select(reading, writing, [], left)):
            raise Stopped("timeout")

"""A Jupyter kernel in a process of its own that runs the cells of one notebook: for trying wrong answers and
for grading.

    reader's process                     kernel process
    Session.run(source, timeout)   ───►  the cell, exactly as JupyterLab would run it (%%magics included)
                      Outcome      ◄───  status, error name, error text

Only the shell channel is open: the reply carries all that is needed, and a cell that prints without end fills
no queue. A cell that runs over its time is not interrupted but killed with its kernel, because a loop inside
compiled code hears no interrupt; `restore` then starts a new kernel and repeats the set-up cells. This is
isolation from accidents, not a sandbox against malice.
"""

import queue
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from jupyter_client import KernelManager

POLL_SECONDS = 0.25
STARTUP_SECONDS = 120.0

# Names live in one dictionary for the kernel's whole life (functions hold it as their globals), so it is
# emptied and refilled in place.
REMEMBER = "get_ipython()._set_up_names = dict(get_ipython().user_ns)"
RESTORE = "(lambda shell: (shell.user_ns.clear(), shell.user_ns.update(shell._set_up_names)))(get_ipython())"
REBOUND = """' '.join(name for name, value in get_ipython()._set_up_names.items()
                   if not name.startswith('_') and get_ipython().user_ns.get(name) is not value)"""
LAST_ERRORS = """
import sys
errors, error = [], getattr(sys, "last_value", None)
while error is not None and len(errors) < 10:
    errors.append(type(error).__name__)
    error = error.__cause__ or error.__context__
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one cell: `status` is "ok", "error", "timeout" or "died"; `error` and `message` are the
    exception's name and text.
    """

    status: str
    error: str = ""
    message: str = ""
    seconds: float = 0.0

    @property
    def ok(self):
        return self.status == "ok"

    @property
    def sentence(self):
        """One line a reader can act on; empty when the cell passed."""
        if self.status == "error":
            first_line = self.message.strip().splitlines()[0] if self.message.strip() else ""
            return (first_line if self.error in ("AssertionError", "CheckFailed") and first_line
                    else f"{self.error}: {first_line}".rstrip(": "))
        return {"ok": "", "timeout": f"the cell ran longer than {self.message} s and was stopped",
                "died":
                    "the cell killed its kernel (a crash in compiled code, an exit, or too much "
                    "memory)"}[self.status]


class Session:
    """One kernel and the set-up cells it has run.

    directory: where the cells believe they are (the notebook's folder).
    setup_timeout: seconds allowed to each set-up cell when they are repeated in a new kernel.
    Use it as a context manager; `close` ends the kernel whatever it is doing.
    """

    def __init__(self, directory=".", setup_timeout=120.0):
        self.directory = str(Path(directory).resolve())
        self.setup_timeout = setup_timeout
        self.setups = []
        self.manager = self.client = None
        self._start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, source, timeout):
        """Runs one cell for at most `timeout` seconds and returns its `Outcome`. A dead kernel stays dead
        until `restore`.
        """
        if self.manager is None:
            return Outcome("died")
        started = time.monotonic()
        content = self._execute(source, timeout, store_history=True)
        seconds = time.monotonic() - started
        if isinstance(content, str):
            self.close()
            return Outcome(content, message=f"{timeout:.0f}", seconds=seconds)
        if content["status"] == "ok":
            return Outcome("ok", seconds=seconds)
        return Outcome("error", content.get("ename", "error"), content.get("evalue", ""), seconds)

    def set_up(self, source, timeout):
        """Runs a cell that every exercise after it may rely on; `restore` brings back the names as they are
        after it.
        """
        outcome = self.run(source, timeout)
        if outcome.ok:
            self.setups.append(source)
            self._execute(REMEMBER, self.setup_timeout)
        return outcome

    def restore(self):
        """Puts the names back as they were after the last set-up cell, in a new kernel when the old one is
        gone.
        """
        if self.manager is not None and isinstance(self._execute(RESTORE, self.setup_timeout), dict):
            return
        self.close()
        self._start()
        setups, self.setups = self.setups, []
        for source in setups:
            self.set_up(source, self.setup_timeout)

    def last_errors(self):
        """Names of the exceptions behind the last failure: the one raised, its cause, the cause's cause, up
        to ten.
        """
        return self._words(LAST_ERRORS, "' '.join(errors)")

    def rebound(self):
        """Names of the set-up cells that a later cell has bound to something else."""
        return self._words("", REBOUND)

    def close(self):
        """Ends the kernel at once. May be called twice."""
        if self.manager is not None:
            self.client.stop_channels()
            self.manager.shutdown_kernel(now=True)
            self.manager = self.client = None

    def _start(self):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=self.directory, extra_arguments=["--HistoryManager.enabled=False"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = self.manager.blocking_client()
        self.client.start_channels(iopub=False, stdin=False, hb=False)
        content = self._execute(REMEMBER, STARTUP_SECONDS)
        if not isinstance(content, dict) or content["status"] != "ok":
            self.close()
            raise ChildProcessError("the Python kernel did not start: run `python -m ipykernel --version` in "
                                    "this environment to see why")

    def _words(self, source, expression):
        content = self._execute(source, self.setup_timeout, user_expressions={"words": expression})
        return (content["user_expressions"]["words"]["data"]["text/plain"].strip("'").split()
                if isinstance(content, dict) else [])

    def _execute(self, source, timeout, **options):
        """The reply's content, or "timeout", or "died"."""
        options = {"silent": True, "store_history": False} | options
        if options["store_history"]:
            options["silent"] = False
        request = self.client.execute(source, allow_stdin=False, stop_on_error=False, **options)
        deadline = time.monotonic() + timeout
        while True:
            try:
                left = max(0.01, deadline - time.monotonic())
                reply = self.client.get_shell_msg(timeout=min(POLL_SECONDS, left))
            except queue.Empty:
                if not self.manager.is_alive():
                    return "died"
                if time.monotonic() >= deadline:
                    return "timeout"
                continue
            if reply["parent_header"].get("msg_id") == request:
                return reply["content"]

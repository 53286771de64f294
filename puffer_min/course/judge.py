"""Decides what an answer is worth, outside the answer's process.

    judge's kernel (this module)                  answer's process (`answering`, in a `sandbox`)
    set-up cells, then the test cell;             set-up cells, the student's own cells, the answer
    the answer's names are `Remote`    ── call ──►  gae(rewards, values, …)
    compares with the reference        ◄─ values ─  packed by `wire`: no code comes back

An answer can print, patch, import and exit as it likes: what comes over the pipe are values, and they are
right or wrong. The checks, their references and hidden inputs are not in the answer's process.

Some checks look at more than values: memory that two arrays share, environments that notice each call, speed,
compiled code. They are registered with `live=True`, part by part, and run inside the sandbox: the checks come
over the pipe before the answer and no import finds them, the library's functions are compared before and
after, and a verdict counts only when the process then echoes a token that it has not seen before. That stops
the patches, exits and searches of memory that the tests try; it does not stop a program written for it, one
that speaks this protocol itself or whose patches undo themselves.
"""

import ast
import builtins
import secrets
import time
from pathlib import Path

from puffer_min.course import checks
from puffer_min.course.check import (
    HIDDEN_SEED,
    CheckFailed,
    check,
    hidden_inputs,
    name_of,
    registered,
)
from puffer_min.course.sandbox import Process, Stopped
from puffer_min.course.session import Outcome
from puffer_min.course.wire import OPAQUE, unpack, write_back

START_SECONDS = 180.0                   # for the answer's process to start and to load the checks
_DROPPED: set[str] = set()              # cells the student added that ended a process: they run once


class Lost(BaseException):
    """The answer's process is gone, or talks nonsense. No `except Exception` of a check catches it."""


class AnswerError(Exception):
    """An exception of the answer that is none of Python's own."""


class Answer:
    """An answer in a process of its own. Use it as a context manager.

    seconds: allowed to each cell, and to all calls of one test together.
    """

    def __init__(self, mode, seconds, cells):
        self.seconds, self.left = seconds, START_SECONDS
        self.process = Process(mode, seconds * (cells + 2) + START_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.close()

    def ask(self, *request):
        """The reply's value. Raises Lost with a sentence."""
        began = time.monotonic()
        try:
            return unpack(self.process.ask(request, self.left))
        except Stopped as stopped:
            raise Lost(Outcome(stopped.why, message=f"{self.seconds:.0f}").sentence) from None
        except ValueError:
            self.process.close()
            raise Lost("the answer's process sent something that is not an answer") from None
        finally:
            self.left -= time.monotonic() - began

    def cell(self, source):
        """The error of a cell as a sentence; empty when there is none."""
        self.left = self.seconds
        error = self.ask("cell", source)
        return Outcome("error", *_texts(error)[:2]).sentence if error else ""


class Remote:
    """A function of the answer: calling it calls the answer over the pipe; what it does to its arguments is
    done to the caller's.
    """

    def __init__(self, answer, name):
        self.answer, self.__name__, self.__qualname__ = answer, name, name

    def __call__(self, *args, **kwargs):
        reply = self.answer.ask("call", self.__name__, args, kwargs)
        try:
            if "error" in reply:
                raise exception(reply["error"])
            result = unpack(reply["result"])
            write_back((args, kwargs), unpack(reply["after"]))
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            if "error" in reply:
                raise
            raise Lost(f"the answer's process sent something that is not an answer ({error})") from None
        if result is OPAQUE:
            raise Lost("the answer's process sent something that is not an answer")
        return result


def _texts(error):
    name, text, place = (str(part)[:2000] for part in error)
    return name, text, place


def exception(error):
    """The exception that an answer's (name, text, place) describes, of its own type where Python has it."""
    name, text, place = _texts(error)
    if name == "CheckFailed":
        return CheckFailed(text)
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind, text = AnswerError, f"{name}: {text}"
    try:
        made = kind(text)
    except TypeError:                                       # UnicodeError's kinds want more
        made = AnswerError(f"{name}: {text}")
    made.place = place
    return made


def wanted(source, known):
    """Names that a test cell uses and neither it nor the set-up binds: the answer's."""
    names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {(alias.asname or alias.name).partition(".")[0] for node in ast.walk(ast.parse(source))
              if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    return sorted({node.id for node in names} - bound - set(known) - set(vars(builtins)))


def asked(source):
    """The registered checks that a test cell calls by `check("id", …, part="part")`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Name) and node.func.id == "check" and node.args]
    parts = [next((word.value for word in call.keywords if word.arg == "part"), ast.Constant(""))
             for call in calls]
    names = {name_of(call.args[0].value, part.value) for call, part in zip(calls, parts, strict=True)
             if isinstance(call.args[0], ast.Constant) and isinstance(part, ast.Constant)}
    return [found for name, found in registered().items() if name in names]


def trial(shell, program, test, seconds, mode, seed=HIDDEN_SEED):
    """Puts one answer to one test cell. Returns nothing when it passes; raises CheckFailed with the sentence
    when it does not.

    shell: the judge's IPython, in which the set-up cells have run. program: [kind, source] of the cells up to
    the test, kinds as in `grade.Step`. mode: of `sandbox`. seed: of the hidden inputs.
    """
    found = asked(test) if shell.user_ns.get("check") is check else []
    live = any(part.live for part in found)
    while True:
        cells = [(kind, source) for kind, source in program if source not in _DROPPED or kind != "added"]
        with Answer(mode, seconds, len(cells)) as answer:
            notes = prepare(answer, cells, found if live else [])
            if notes is None:
                continue
            try:
                answer.left = seconds
                if live:
                    test_inside(answer, test, seed)
                else:
                    test_outside(answer, shell, test, seed)
            except (Exception, Lost) as error:
                name = "CheckFailed" if isinstance(error, Lost | AnswerError) else type(error).__name__
                sentence = Outcome("error", name, str(error)).sentence
                raise CheckFailed("; ".join([*notes, sentence])) from None
        return


def prepare(answer, cells, live):
    """Runs the cells before a test; returns what the answer's own cells say, or None when a cell that the
    student added ended the process, which is then left out.
    """
    notes, guarded = [], False
    if live:
        texts = {f"{checks.__name__}.{path.stem}": path.read_text(encoding="utf-8")
                 for path in Path(checks.__path__[0]).glob("*.py") if path.stem != "__init__"}
        answer.ask("load", [(part.name, part.function.__module__) for part in live], texts)
    for kind, source in cells:
        if kind != "setup" and not guarded:
            answer.left = START_SECONDS
            answer.ask("guard")
            guarded = True
        try:
            sentence = answer.cell(source)
        except Lost as lost:
            if kind == "added":
                _DROPPED.add(source)
                return None
            raise CheckFailed(str(lost)) from None
        if sentence and kind == "setup":
            raise CheckFailed(f"a set-up cell of the course fails in the answer's process: {sentence}")
        if sentence and kind == "answer":
            notes.append(sentence)
    return notes


def test_outside(answer, shell, test, seed):
    """Runs the test cell here, with the answer's names standing for calls over the pipe."""
    names = wanted(test, shell.user_ns)
    there = answer.ask("names", names)
    try:
        for name, (callable_, value) in there.items():
            if name in names:
                shell.user_ns[name] = Remote(answer, name) if callable_ else value
        with hidden_inputs(seed):
            exec(compile(test, "<test>", "exec"), shell.user_ns)
    finally:
        for name in names:
            shell.user_ns.pop(name, None)


def test_inside(answer, test, seed):
    """Has the test cell run in the answer's process, and believes that it passed only when the process is
    still the one that it was.
    """
    reply = answer.ask("test", test, seed)
    if isinstance(reply, dict) and "error" in reply:
        raise exception(reply["error"])
    token = secrets.token_hex(16)
    if reply != "passed" or answer.ask("confirm", token) != token:
        raise CheckFailed("the answer's process gave no verdict")

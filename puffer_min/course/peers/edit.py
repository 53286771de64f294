"""`edited`: change a library's program as you would in an editor, run the changed copy, and see the diff.

    new = {"ent_coef = terms.ent_coef": "ent_coef = entropy_at(steps)"}
    change = edited("CleanRL style", new, entropy_at=lambda steps: 0.01)
    change                              the diff
    change.lines                        lines added and removed
    run("CleanRL style", train=change, steps=2000)
"""

import difflib
import inspect
import linecache
import types

from puffer_min.course.peers.registry import load


class Edited:
    """A changed copy of a program, callable as `train(terms, make_env, seed)`. A notebook shows its diff."""

    def __init__(self, name: str, before: str, after: str, module):
        self.name, self.before, self.after, self.module = name, before, after, module

    def __call__(self, terms, make_env, seed):
        self.module.train(terms, make_env, seed)

    @property
    def diff(self) -> str:
        """The change as a unified diff without context."""
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), n=0, lineterm="")
        return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))

    @property
    def lines(self) -> int:
        """Lines of the diff that hold code: a changed line counts twice, out and in."""
        return sum(bool(line[1:].strip()) for line in self.diff.splitlines())

    def _repr_markdown_(self) -> str:
        return f"**{self.name}**\n\n```diff\n{self.diff}\n```"

    def __repr__(self):
        return f"{self.name}: {self.lines} lines\n{self.diff}"


def edited(name: str, replacements: dict[str, str], **names) -> Edited:
    """A copy of a library's program in which each key of `replacements`, found exactly once, has become its
    value.

    names   what the new lines may use beside the module's own names.
    Raises ValueError for a text that the program does not hold exactly once.
    """
    module = load(name)
    before = after = inspect.getsource(module)
    for old, new in replacements.items():
        if after.count(old) != 1:
            raise ValueError(f"{name}: {old!r} is there {after.count(old)} times, expected once: copy the "
                             "text from the program")
        after = after.replace(old, new)
    file = f"<{module.__name__}, edited {abs(hash(after))}>"
    copy = types.ModuleType(f"{module.__name__}_edited")
    copy.__dict__.update(names)
    # the reader's own edit of a program of this package
    exec(compile(after, file, "exec"), copy.__dict__)
    # tracebacks show the edited lines
    linecache.cache[file] = (len(after), None, after.splitlines(keepends=True), file)
    return Edited(name, before, after, copy)

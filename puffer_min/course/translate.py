"""Cython source in, C out: the first half of a build, with everything Cython knows about each line.

`translate` runs Cython in this process and keeps three things that the compiler otherwise throws away: its
annotation (the C of every source line and the score that makes a line yellow), where each function and loop
begins and ends, and its performance hints. `build` compiles the C, `annotate` draws the lines; neither talks
to Cython itself.
"""

from __future__ import annotations

import difflib
import html
import re
import shutil
import tempfile
import threading
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from envs.core.compile_settings import ROOT

WEIGHTS = {"py_c_api": 5, "pyx_c_api": 2, "py_macro_api": 1, "pyx_macro_api": 1}    # Cython's own
MARK = "/* … */\n"                          # between the places where the C of one line stands
CYTHON = threading.Lock()                  # Cython's compiler keeps global state


class CompileError(Exception):
    """A source that Cython or the C compiler refused; its text is one sentence and the place in the source.
    """

    def _render_traceback_(self):
        """IPython asks for this: the message alone, without the frames of the tool that found the mistake."""
        return [f"{type(self).__name__}: {self}"]


# PEP 263, in one of the first two lines
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_DISTUTILS = re.compile(r"^\s*#\s*distutils\s*:\s*(.+?)\s*$")


def encoding_of(content: bytes) -> str:
    """The encoding that a source declares in its first two lines, or UTF-8."""
    found = next(filter(None, map(_CODING.match, content.splitlines()[:2])), None)
    return found[1].decode() if found else "utf-8"


def read_text(path: Path) -> str:
    """The text of a source file. Raises CompileError where its bytes are not of the encoding that it
    declares, or of UTF-8.
    """
    content = path.read_bytes()
    encoding = encoding_of(content)
    try:
        return content.decode(encoding)
    except LookupError:
        raise CompileError(f"{path.name} declares the encoding {encoding!r}, which Python does not know: "
                           "save it as UTF-8") from None
    except UnicodeDecodeError as error:
        line = content[:error.start].count(b"\n") + 1
        raise CompileError(f"{path.name}, line {line}: byte 0x{content[error.start]:02x} is not {encoding}: "
                           "save the file as UTF-8, or declare its encoding in the first line, as in `# "
                           "coding: latin-1`") from None


def source_bytes(text: str) -> bytes:
    """A source as the file that Cython reads: in the encoding that the text declares."""
    return text.encode(encoding_of(text.encode()))


def require_c(text: str, name: str) -> None:
    """Raise CompileError for a source that asks for C++ or has lines for setuptools, which nothing here
    reads.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            # Cython reads such lines before the first statement alone
            break
        asked = _DISTUTILS.match(line)
        if asked and re.match(r"language\s*=\s*c\+\+", asked[1]):
            raise CompileError(f"{name}, line {number}: the source asks for C++, and `build` and %%cython "
                               "compile C: use C arrays and structs, or compile it with a setup.py of your "
                               "own")
        if asked:
            raise CompileError(f"{name}, line {number}: `distutils: {asked[1]}` is for setuptools and would "
                               "have no effect here: give compile_args= or link_args= to `build`, or -c and "
                               "--link-args to %%cython")
    uses = re.search(r"^\s*(?:from\s+libcpp\b|cimport\s+libcpp\b)", text, re.M)
    if uses:
        number = text[:uses.start()].count("\n") + 1
        raise CompileError(f"{name}, line {number}: libcpp is C++'s library, and `build` and %%cython "
                           "compile C: use C arrays and structs, or compile it with a setup.py of your own")


@dataclass(frozen=True)
class Line:
    """One source line: its text, Cython's score (0 is white) and the C it became, as Cython marks it up
    (HTML).
    """

    number: int
    text: str
    score: int = 0
    c_html: str = ""

    @property
    def c(self) -> str:
        """The C as plain text."""
        return html.unescape(re.sub(r"<[^>]*>", "", self.c_html))


@dataclass(frozen=True)
class Function:
    """Where a function is: `first` is the line of its signature, the body runs from `body` to `last`, loops
    are (first, last).

    nogil   declared so: it may run without the GIL
    """

    name: str
    first: int
    body: int
    last: int
    loops: tuple[tuple[int, int], ...] = ()
    nogil: bool = False


@dataclass(frozen=True)
class Translation:
    """What Cython made of a source."""

    c_code: str
    lines: tuple[Line, ...]
    functions: dict[str, Function]
    hints: tuple[tuple[int, str], ...]      # (line, performance hint)


def translate(source: str, path: Path, module: str, directives: dict, folder: Path | None = None,
              views: str | None = None) -> Translation:
    """Translate `source` to the C of an extension module called `module`.

    path        the file that tracebacks and error messages name; where it exists it holds `source` and stays.
    directives  Cython compiler directives.
    folder      searched for `.pxd` and `.pxi` files (default: the one of `path`), after it the root of the
                project, so that `from envs.core.native cimport Native` works.
    views       name of a module that holds Cython's code for memoryviews (`shared_views`).
    Raises CompileError with Cython's message and the line.
    """
    from Cython.Compiler import Options

    unknown = [name for name in directives if name not in Options.get_directive_defaults()]
    if unknown:
        near = difflib.get_close_matches(unknown[0], Options.get_directive_defaults(), n=1)
        raise ValueError(f"directives: given {unknown[0]!r}, which Cython does not "
                         f"know{f'; did you mean {near[0]!r}?' if near else ''}")
    require_c(source, path.name)
    folder = folder or path.parent
    with tempfile.TemporaryDirectory(prefix="cython-") as name, CYTHON:
        work = Path(name)
        if not path.is_absolute() or not path.exists():
            path = work / path.name
            path.write_bytes(source_bytes(source))
        if (folder / path.name).with_suffix(".pxd").exists():   # Cython looks for it under the module's name
            shutil.copy((folder / path.name).with_suffix(".pxd"), work / f"{module}.pxd")
        options = Options.CompilationOptions(
            include_path=[str(work), str(folder), str(ROOT)], compiler_directives=dict(directives),
            annotate=True, output_file="module.c", language_level=3, shared_utility_qualified_name=views)
        failure = _run_cython(path, module, work, options)
        listing = (work / "errors").read_text(encoding="utf-8")
        if failure is not None:
            raise CompileError(_first_error(listing, source, path)
                               or f"{path.name}: Cython gave up: {failure}")
        lines = _annotation((work / "module.html").read_text(encoding="utf-8"), source, module, path.stem)
        return Translation((work / "module.c").read_text(encoding="utf-8"), lines,
                           _functions(path, options, module), _hints(listing))


def _run_cython(path: Path, module: str, work: Path, options) -> str | None:
    """Write module.c, module.html and errors into `work`; returns None, or what is known of a failure.

    This is the body of Cython's own `run_pipeline`, with two changes: the list of errors goes where we say,
    and the C names the source by its full path, because a module outlives the working directory it was built
    in.
    """
    from Cython.Compiler import Errors, Main, Pipeline
    from Cython.Compiler.Scanning import FileSourceDescriptor
    from Cython.Compiler.StringEncoding import EncodedString

    options.configure_language_defaults(path.suffix[1:])
    context = Main.Context.from_options(options)
    described = FileSourceDescriptor(str(path))
    described.file_path = described._short_path_description = str(path)
    compilation = Main.CompilationSource(described, EncodedString(module), str(work))
    result = Main.create_default_resultobj(compilation, options)
    create = Pipeline.create_py_pipeline if path.suffix == ".py" else Pipeline.create_pyx_pipeline
    Errors.reset()
    Errors.open_listing_file(str(work / "errors"), echo_to_stderr=False)
    error, _ = Pipeline.run_pipeline(create(context, options, result), compilation)
    context.teardown_errors(error, options, result)
    return (str(error).strip() or "no message") if error or result.num_errors else None


def excerpt(source: str, line: int, column: int | None = None, around: int = 2) -> str:
    """A few lines of `source` with an arrow at `line` and a caret under `column` (counted from 0)."""
    lines = source.splitlines()
    first, last = max(1, line - around), min(len(lines), line + around)
    width, shown = len(str(last)), []
    for number in range(first, last + 1):
        shown.append(f"{'>' if number == line else ' '} {number:{width}d} | {lines[number - 1]}")
        if number == line and column is not None:
            shown.append(" " * (width + 3) + "| " + " " * column + "^")
    return "\n".join(shown)


# -------------------------------------------------------------------- errors and hints, from Cython's listing

_PLACE = re.compile(r"^(?P<path>[^\n]*?):(?P<line>\d+):(?P<column>\d+): (?P<message>.*)$")


def _first_error(listing: str, source: str, path: Path) -> str:
    """The first error as a sentence and an excerpt, and how many more there are; "" if the listing holds
    none.
    """
    found = []
    for block in re.split(r"^Error compiling Cython file:$", listing, flags=re.M)[1:]:
        after = block.rsplit("-" * 60, 1)[-1].strip()
        place = _PLACE.match(after.split("\n", 1)[0])
        if place:
            found.append(place)
    if not found:
        return ""
    place = found[0]
    line, column = int(place["line"]), int(place["column"])
    where, text = path.name, source
    if Path(place["path"]).name != path.name:                   # the mistake is in a .pxd or an included file
        other = Path(place["path"])
        where, text = other.name, read_text(other) if other.exists() else ""
    message = f"{where}, line {line}: {place['message'].rstrip('.')}"
    if len(found) > 1:
        lines = sorted({int(other["line"]) for other in found[1:]})
        message += (f" (and {len(found) - 1} more, on line{'s' if len(lines) > 1 else ''} "
                    f"{', '.join(map(str, lines[:5]))})")
    return f"{message}\n{excerpt(text, line, column)}"


def _hints(listing: str) -> tuple[tuple[int, str], ...]:
    found = re.findall(r"^performance hint: [^\n]*?:(\d+):\d+: ([^\n]*)", listing, flags=re.M)
    return tuple((int(line), text) for line, text in found)


# --------------------------------------------------------------------- the annotation, from Cython's own page

class _Page(HTMLParser):
    """Reads Cython's annotated page: a `pre` of class `line score-N` a source line, followed by one of class
    `code` with its C.
    """

    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.scores, self.code, self.inside = [], {}, ""

    def handle_starttag(self, tag, attributes):
        classes = (dict(attributes).get("class") or "").split()
        if tag == "pre" and "line" in classes:
            self.inside = "line"
            score = [name.removeprefix("score-") for name in classes if name.startswith("score-")]
            # without one it is the heading of the whole C file
            if score:
                self.scores.append(int(score[0]))
        elif tag == "pre" and "code" in classes:
            self.inside = "code"
            self.code[len(self.scores)] = ""
        elif self.inside == "code" and tag == "span":
            self.code[len(self.scores)] += f"<span class='{' '.join(classes)}'>"

    def handle_endtag(self, tag):
        if tag == "pre":
            self.inside = ""
        elif self.inside == "code":
            self.code[len(self.scores)] += f"</{tag}>"

    def _add(self, text):
        if self.inside == "code":
            self.code[len(self.scores)] += text

    handle_data = _add

    def handle_entityref(self, name):
        self._add(f"&{name};")

    def handle_charref(self, name):
        self._add(f"&#{name};")


def _annotation(page: str, source: str, module: str, stem: str) -> tuple[Line, ...]:
    """Line by line what Cython's page says; the module's name with its hash becomes `stem`, so that a
    committed drawing is stable.
    """
    reader = _Page()
    reader.feed(page)
    texts = source.splitlines()
    if len(reader.scores) < len(texts):
        raise RuntimeError(f"Cython's annotation has {len(reader.scores)} lines for a source of "
                           f"{len(texts)}: this Cython is not supported")

    def stable(c_html: str) -> str:
        return c_html.replace(f"{len(module)}{module}", f"{len(stem)}{stem}").replace(module, stem)

    lines = []
    for number, text in enumerate(texts, 1):
        parts = reader.code.get(number, "").split(MARK)
        # the module's table of doctests
        kept = [part for part in parts if not re.search(r"__pyx_n_[us]_test\b", part)]
        dropped = sum(score_of(part) for part in parts) - sum(score_of(part) for part in kept)
        lines.append(Line(number, text, reader.scores[number - 1] - dropped, stable(MARK.join(kept))))
    return tuple(lines)


def score_of(c_html: str) -> int:
    """Cython's score of a piece of marked-up C."""
    return sum(WEIGHTS.get(kind, 0) for kind in re.findall(r"<span class='(\w+)'>", c_html))


# -------------------------------------------------------- where functions and loops are, from Cython's parser

def _functions(path: Path, options, module: str) -> dict[str, Function]:
    """Every function by its qualified name ("step", "Class.step")."""
    from Cython.Compiler import Errors, Main
    from Cython.Compiler.Scanning import FileSourceDescriptor

    context = Main.Context.from_options(options)
    Errors.reset()
    Errors.open_listing_file(None, echo_to_stderr=False)
    description = FileSourceDescriptor(str(path))
    scope = context.find_module(module, pos=(description, 1, 0), need_pxd=0)
    tree = context.parse(description, scope, pxd=0, full_module_name=module)
    found: dict[str, Function] = {}
    _walk(tree, (), found)
    return found


def _walk(node, owners: tuple[str, ...], found: dict[str, Function]) -> None:
    """Collect the functions below `node`, whose enclosing classes and functions are `owners`."""
    kind = type(node).__name__
    if kind in ("CFuncDefNode", "DefNode"):
        declarator = None if kind == "DefNode" else _function_declarator(node.declarator)
        name = node.name if declarator is None else declarator.base.name
        owners = (*owners, name)
        lines, loops = [node.pos[1]], []
        _extent(node.body, lines, loops)
        body = min(lines[1:], default=node.pos[1])
        found[".".join(owners)] = Function(".".join(owners), node.pos[1], body, max(lines), tuple(loops),
                                           bool(getattr(declarator, "nogil", False)))
    elif kind in ("CClassDefNode", "PyClassDefNode"):
        owners = (*owners, getattr(node, "class_name", None) or node.name)
    for child in _children(node):
        _walk(child, owners, found)


def _extent(node, lines: list[int], loops: list[tuple[int, int]]) -> None:
    """All lines of `node` and its children, and its loops with their extents."""
    if node.pos and type(node).__name__ != "StatListNode":
        lines.append(node.pos[1])
    inner: list[int] = []
    for child in _children(node):
        _extent(child, inner, loops)
    lines.extend(inner)
    if any(base.__name__ == "LoopNode" for base in type(node).__mro__):
        loops.append((node.pos[1], max(inner, default=node.pos[1])))


def _children(node):
    for attribute in node.child_attrs or ():
        child = getattr(node, attribute, None)
        yield from child if isinstance(child, list) else [child] if child is not None else []


def _function_declarator(declarator):
    """The part of a C function's declaration that holds its name and `nogil`, below the stars of a pointer it
    returns.
    """
    while not hasattr(declarator, "nogil"):
        declarator = declarator.base
    return declarator

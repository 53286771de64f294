"""`python -m puffer_min new`: a file with a small environment that works, to be changed into one's own.

    python -m puffer_min new my_env                 my_env.py, on PufferEnv
    python -m puffer_min new my_env --compiled      my_env.pyx, on the native base; also `new my_env.pyx`
    python -m puffer_min train my_env.pyx           compiles it and trains (compiled.py)

The files are template.py.txt and template.pyx.txt, one game in both, with NAME and CLASS filled in.
"""

import keyword
from pathlib import Path


def write_template(name: str, compiled: bool = False) -> Path:
    """Write the template called `name`, in whose folder it goes; returns the file.

    name    of the environment, or of the file; ".pyx" at its end is compiled, ".py" is not

    Raises ValueError for a name that is no name of a module, FileExistsError if there is such a file.
    """
    path = Path(name)
    if path.suffix not in ("", ".py", ".pyx"):
        raise ValueError(f"new {name} given, expected a name, or a file that ends in .py or .pyx")
    compiled = compiled if not path.suffix else path.suffix == ".pyx"
    stem = path.stem
    if not stem.isidentifier() or keyword.iskeyword(stem) or not stem.isascii():
        raise ValueError(f"new {name} given, expected letters, digits and _, a letter first, such as my_env: "
                         "it becomes the name of a module")
    path = path.with_suffix(".pyx" if compiled else ".py")
    title = "".join(part.capitalize() for part in stem.split("_")) or "Environment"
    template = Path(__file__).with_name(f"template{path.suffix}.txt").read_text(encoding="utf-8")
    text = template.replace("NAME", stem).replace("CLASS", title)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise FileExistsError(f"{path} exists already and stays as it is: give another name") from None
    return path


def add_arguments(parser) -> None:
    """The arguments of `python -m puffer_min new`."""
    parser.add_argument("name", help="name of the environment, such as my_env, or of the file")
    parser.add_argument("--compiled", action="store_true", help="in Cython, on the native base (.pyx)")


def run(args) -> int:
    """Write the file and say what to do with it."""
    path = write_template(args.name, args.compiled)
    print(f"{path} holds a small game that works. Change its rules, then:")
    for command in ("check", "train", "play", "bench"):
        print(f"    python -m puffer_min {command} {path}")
    return 0

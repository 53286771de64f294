"""The book's reference pages, written from the package itself: public names, commands, environments."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import gymnasium
from PIL import Image

import envs
import puffer_min

PAGES = ("api", "command_line", "environments")


def write(folder: Path) -> None:
    """Write the three pages and the pictures of the environments into `folder`."""
    folder.mkdir(parents=True)
    (folder / "api.md").write_text(api(), encoding="utf-8")
    (folder / "command_line.md").write_text(command_line(), encoding="utf-8")
    (folder / "environments.md").write_text(environments(folder), encoding="utf-8")


def literal(text: str) -> str:
    """A docstring or a program's words as they stand, in a fence longer than any inside."""
    return f"`````text\n{inspect.cleandoc(text or '')}\n`````\n"


def api() -> str:
    """Every public name of `puffer_min` with its signature, docstring and public methods."""
    parts = [
        "# Public names",
        "Everything that `import puffer_min` offers, in the order in which a user meets it.",
        "",
    ]
    for name in puffer_min.__all__:
        thing = getattr(puffer_min, name)
        try:
            signature = str(inspect.signature(thing))
        except (TypeError, ValueError):  # a compiled class
            signature = ""
        parts += [
            f"## `puffer_min.{name}`",
            f"```python\n{name}{shortened(signature)}\n```",
            literal(thing.__doc__),
        ]
        if inspect.isclass(thing):
            methods = [
                (key, value)
                for key, value in vars(thing).items()
                if callable(value) and not key.startswith("_") and getattr(value, "__doc__", None)
            ]
            parts += [
                f"**`{name}.{key}`** {value.__doc__.strip().splitlines()[0]}\n" for key, value in methods
            ]
    return "\n".join(parts)


def shortened(signature: str) -> str:
    """A signature over several lines where it is long, without the addresses of default objects."""
    signature = re.sub(r"<(?:\w+\.)*(\w+) object at 0x[0-9a-f]+>", r"\1()", signature)
    if len(signature) < 90:
        return signature
    return re.sub(r", (?=[*/]|[A-Za-z_]\w*[:=,)])", ",\n    ", signature.replace("(", "(\n    ", 1))


def command_line() -> str:
    """`python -m puffer_min` and the help of each command."""

    def said(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "puffer_min", *arguments, "--help"],
            text=True,
            check=True,
            capture_output=True,
        ).stdout

    first = said()
    commands = [line.split()[0] for line in first.splitlines() if line.startswith("  ") and line.strip()]
    parts = ["# The command line", literal(first)]
    for command in commands:
        parts += [f"## `{command}`", literal(said(command))]
    return "\n".join(parts)


def environments(folder: Path) -> str:
    """Every native environment: a picture after a hundred random steps, spaces, and its specification."""
    parts = ["# The environments", "The pictures show one environment after a hundred random steps.", ""]
    for name in sorted(envs.names()):
        env = envs.make(name, 1, seed=0)
        env.reset(0)
        play = puffer_min.RandomPolicy(env, seed=0)
        for _ in range(100):
            env.step(play.act(env.observations))
        parts.append(f"## `{name}`")
        try:
            picture = Image.fromarray(env.render(0))
        except (NotImplementedError, RuntimeError, ImportError):
            picture = None  # without the textures of its package, say
        if picture is not None:
            scale = max(1, 320 // max(picture.size))
            picture.resize([scale * side for side in picture.size], Image.NEAREST).save(
                folder / f"{name}.png"
            )
            parts.append(f"![A picture of {name} after a hundred random steps]({name}.png)\n")
        parts += [
            f"Observations `{one_line(env.single_observation_space)}`, actions `{env.single_action_space}`, "
            f"{env.agents_per_env} agent{'s' * (env.agents_per_env > 1)} in each environment.\n",
            literal(sys.modules[type(env).__module__].__doc__),
        ]
        env.close()
    return "\n".join(parts)


def one_line(space) -> str:
    """A space as it prints itself, with the extremes of its bounds in the place of long arrays."""
    if not isinstance(space, gymnasium.spaces.Box):
        return str(space)
    low, high = space.low.min(), space.high.max()
    return f"Box({low:g}, {high:g}, {space.shape}, {space.dtype})"

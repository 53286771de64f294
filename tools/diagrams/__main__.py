"""Write every diagram to chapters/diagrams: `make diagrams`, or `python tools/diagrams [FOLDER]`.

Each levelNN.py beside this file has DIAGRAMS, a dictionary from the picture's name (NN_name) to the
function that draws it."""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "chapters" / "diagrams"


def drawings() -> dict:
    """Every diagram by its name, drawn."""
    sys.path.insert(0, str(HERE))
    found = {}
    for script in sorted(HERE.glob("level*.py")):
        for name, draw in importlib.import_module(script.stem).DIAGRAMS.items():
            level = script.stem.removeprefix("level")
            if not name.startswith(level + "_"):
                raise ValueError(f"{script.name} names a diagram {name!r}, expected {level}_something")
            found[name] = draw()
    return found


def write(folder: Path = FOLDER) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, drawing in drawings().items():
        paths.append(folder / f"{name}.svg")
        paths[-1].write_text(drawing.svg(), encoding="utf-8")
    return paths


if __name__ == "__main__":
    written = write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    print(f"{len(written)} diagrams written to {written[0].parent if written else FOLDER}")

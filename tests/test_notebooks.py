"""The form of the notebooks: executed, complete, linked. nbval runs them and compares their outputs in the same session."""

import json
import re
import statistics
from pathlib import Path
from urllib.parse import unquote

import nbformat
import notebooks
import pytest

from puffer_min.course.check import registered

ROOT = Path(__file__).resolve().parents[1]
LEVELS = ["results", "research", "algorithms", "libraries", "vectorization", "compatibility", "wrappers", "environments",
          "custom_simulation", "open_endedness"]
STEMS = [f"{number:02}_{name}" for number, name in enumerate(LEVELS, 1)]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
EXERCISES = sorted((ROOT / "exercises").glob("*.ipynb"))
CAPSTONE = sorted((ROOT / "capstone").glob("*.ipynb"))
EVERY = [*CHAPTERS, *CAPSTONE, *SOLUTIONS, *EXERCISES, ROOT / "index.ipynb", ROOT / "glossary.ipynb"]
NBVAL_TAGS = {"nbval-ignore-output", "nbval-raises-exception", "raises-exception"}   # without nbval-skip: every cell is executed
FIGURE_SENTENCE = re.compile(r"[Tt]he (figure|picture|heat map)")
TYPED_SPEED = re.compile(r"\d[\d.,]* ?[kMG]? ?\w*steps/s|\d[\d.,]* (times|×) (as fast|faster|slower)|\d[\d.,]* ?(ns|µs|ms)\b")
ENVIRONMENTS_BY_TIME = {"05_vectorization"}                                 # calls its environments "1 ms" after the time of a step
CODE_BEFORE_SENTENCE = {"01_results", "05_vectorization", "08_environments", "09_custom_simulation"}      # may draw twice, or assert, before it says what it shows
MORE_CHECKS = {"01_results"}                                                # names five checks, not three
LEAST_FIGURES = {"02_research": 10, "05_vectorization": 6}
LINK = re.compile(r"\]\(([^()\s]*(?:\([^()]*\)[^()\s]*)*)\)|<(?:img|a)[^>]+?(?:src|href)=\"([^\"]+)\"")


def notebook(path: Path) -> dict:
    return json.loads(path.read_text())


def cells(path: Path, kind: str) -> list[tuple[int, str, dict]]:
    """(position, source, cell) of the non-empty cells of one kind."""
    found = [(index, "".join(cell["source"]), cell) for index, cell in enumerate(notebook(path)["cells"]) if cell["cell_type"] == kind]
    return [cell for cell in found if cell[1].strip()]


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


def links(text: str) -> list[str]:
    """Targets of the links and images in Markdown, code apart."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [one or other for one, other in LINK.findall(text)]


def anchors(path: Path) -> set[str]:
    """The anchors that JupyterLab knows in a notebook: its headings, and `cell-id=` for each cell."""
    ids = {f"cell-id={cell['id']}" for cell in json.loads(path.read_text())["cells"] if "id" in cell}
    text = "\n".join(source for _, source, _ in cells(path, "markdown"))
    return ids | {heading.strip().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@each([*EVERY, ROOT / "README.md", ROOT / "envs" / "README.md", ROOT / "solutions" / "README.md", *sorted((ROOT / "teaching").glob("*.md"))])
def test_every_link_leads_to_a_file_and_a_heading(path):
    text = path.read_text() if path.suffix == ".md" else "\n".join(source for _, source, _ in cells(path, "markdown"))
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name} links to {link}, which does not exist."
        assert target.is_file() or path.suffix == ".md", f"{path.name} links to the folder {link}, which JupyterLab cannot open."
        if anchor and target.suffix == ".ipynb":
            assert anchor in anchors(target), f"{path.name} links to {link}, and {target.name} has no such heading or cell."


# The table of contents

def rows() -> dict[int, list[str]]:
    """Columns of the table of contents by level."""
    text = "\n".join(source for _, source, _ in cells(ROOT / "index.ipynb", "markdown"))
    found = [[column.strip() for column in line.strip("| ").split("|")] for line in text.splitlines() if re.match(r"\|\s*\d+ ", line)]
    return {int(columns[0]): columns[1:] for columns in found}


def test_the_table_of_contents_has_the_ten_levels_in_order():
    titles = [re.sub(r"\[(.*)\]\(.*\)", r"\1", columns[0]) for columns in rows().values()]
    assert list(rows()) == list(range(1, 11))
    assert [re.sub("[ -]", "_", title.lower()) for title in titles] == LEVELS


@pytest.mark.parametrize("level", range(1, 11))
def test_the_table_of_contents_links_what_exists_and_says_what_is_not_written(level):
    stem, (title, doing, exercises) = STEMS[level - 1], rows()[level]
    assert doing.endswith("."), f"level {level} says nothing of what the reader will do"
    if (ROOT / "chapters" / f"{stem}.ipynb").exists():
        assert f"](chapters/{stem}.ipynb)" in title, f"index.ipynb does not link chapters/{stem}.ipynb, which exists."
        assert f"](exercises/{stem}.ipynb)" in exercises, f"index.ipynb does not link exercises/{stem}.ipynb."
    else:
        assert "](" not in title, f"index.ipynb links chapters/{stem}.ipynb, which is not written."
        assert exercises == "*not written yet*", f"index.ipynb does not say that level {level} is not written yet."


def test_notebooks_are_named_after_their_levels_and_every_chapter_has_its_exercises_and_solutions():
    for path in [*CHAPTERS, *SOLUTIONS, *EXERCISES]:
        assert path.stem in STEMS, f"{path.relative_to(ROOT)} is none of the ten levels."
    stems = [{path.stem for path in paths} for paths in (CHAPTERS, SOLUTIONS, EXERCISES)]
    assert stems[0] == stems[1] == stems[2], "chapters/, solutions/ and exercises/ do not hold the same levels."


# The form of a notebook

@each([*CHAPTERS, *CAPSTONE, *SOLUTIONS])
def test_every_code_cell_was_run_from_top_to_bottom_without_an_error(path):
    code = cells(path, "code")
    counts = [cell["execution_count"] for _, _, cell in code]
    assert counts == list(range(1, len(code) + 1)), (
        f"{path.name}: execution counts are {counts}; use Restart Kernel and Run All Cells, then save.")
    for index, _, cell in code:
        raised = [output["ename"] for output in cell["outputs"] if output["output_type"] == "error"]
        meant = {"raises-exception", "nbval-raises-exception"} & set(cell["metadata"].get("tags", []))
        assert meant or not raised, f"{path.name}, cell {index}: committed with {raised[0]}."


@each(EXERCISES)
def test_exercises_are_committed_without_outputs_and_widgets(path):
    for index, source, cell in cells(path, "code"):
        assert not cell["outputs"] and cell["execution_count"] is None, f"{path.name}, cell {index}: has outputs."
        assert "ipywidgets" not in source and "interact" not in source, f"{path.name}, cell {index}: widgets do not survive grading."


@each([*CHAPTERS, *CAPSTONE, *SOLUTIONS, *EXERCISES])
def test_code_cells_are_short_and_hide_nothing(path):
    lengths = [len(source.splitlines()) for _, source, _ in cells(path, "code")]
    longest, median = max(lengths), statistics.median(lengths)
    assert longest <= 30 and median <= 8, f"{path.name}: the longest cell has {longest} lines and the median one {median}."
    for index, source, _ in cells(path, "code"):
        assert not source.rstrip().endswith(";"), f"{path.name}, cell {index}: a trailing semicolon hides the output."
        assert "clear_output" not in source, f"{path.name}, cell {index}: clear_output hides what happened."


@each(EVERY)
def test_notebooks_name_the_kernel_that_every_installation_has(path):
    assert notebook(path)["metadata"]["kernelspec"]["name"] == "python3" and notebook(path)["nbformat"] == 4
    identities = [cell["id"] for cell in notebook(path)["cells"]]
    assert len(set(identities)) == len(identities), f"{path.name}: two cells share an id."


@each(EVERY)
def test_tags_for_nbval_are_spelled_as_it_knows_them_and_skip_no_cell(path):
    for index, _, cell in cells(path, "code"):
        unknown = {tag for tag in cell["metadata"].get("tags", []) if "nbval" in tag.lower() or "exception" in tag} - NBVAL_TAGS
        assert not unknown, f"{path.name}, cell {index}: {unknown} is not one of {NBVAL_TAGS}."


@each(EVERY)
def test_notebooks_are_small_and_hold_no_path_of_the_machine_that_ran_them(path):
    assert path.stat().st_size < 3_000_000, f"{path.name} is larger than 3 MB: fewer or smaller figures."
    for cell in notebook(path)["cells"]:
        outputs = [output.get("data", output) for output in cell.get("outputs", [])]
        text = json.dumps([{kind: data for kind, data in output.items() if not kind.startswith("image/")} for output in outputs])
        found = re.search(r"(?<![\w.:/])/(home|root|Users|private|work|tmp)/\w[\w./-]*", text + "".join(cell["source"]))
        assert not found, f"{path.name} holds the path {found[0]}."


@each([*CHAPTERS, *CAPSTONE])
def test_no_widget_is_committed_without_an_output_that_is_seen_without_it(path):
    for index, _, cell in cells(path, "code"):
        for output in cell["outputs"]:
            data = output.get("data", {})
            assert set(data) != {"application/vnd.jupyter.widget-view+json"}, (
                f"{path.name}, cell {index}: a reader on the web sees nothing of this widget.")
            assert not "".join(data.get("text/plain", "")).startswith("interactive("), (
                f"{path.name}, cell {index}: use puffer_min.course.explore, which leaves a picture of three positions.")


# The form of a chapter

@each(CHAPTERS)
def test_a_chapter_names_three_checks_that_exist(path):
    named = re.findall(r'check\("(\w+)"', cells(path, "markdown")[0][1])
    assert len(named) == (5 if path.stem in MORE_CHECKS else 3) and set(named) <= set(registered()), f"{path.name} opens with the checks {named}"


@each([*CHAPTERS, *CAPSTONE])
def test_every_figure_is_followed_by_a_sentence_that_says_what_it_shows(path):
    every, figures = notebook(path)["cells"], 0
    for place, cell in enumerate(every):
        drawn = any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        if drawn and (path.stem != "01_results" or "Player(" not in "".join(cell["source"])):       # level 1 is played, and says so
            figures += 1
            after = every[place + 1:] if path.stem in CODE_BEFORE_SENTENCE else every[place + 1:place + 2]
            said = next(("".join(cell["source"]) for cell in after if cell["cell_type"] == "markdown"), "")
            assert FIGURE_SENTENCE.search(said), f"{path.name}: {cell['id']} draws a figure, and the text after it does not say what it shows"
    assert figures >= LEAST_FIGURES.get(path.stem, 1)


@each(CHAPTERS)
def test_prose_types_no_speeds(path):
    for index, source, _ in cells(path, "markdown"):
        found = TYPED_SPEED.search(re.sub(r"\d+ ms\b", "", source) if path.stem in ENVIRONMENTS_BY_TIME else source)
        assert not found, f"{path.name}, cell {index}: types a speed into its prose: {found[0]!r}; say 'the ratio above' and assert it in a cell"


@each([*CHAPTERS, *CAPSTONE, *SOLUTIONS])
def test_every_committed_picture_has_its_alt_text(path):
    found = nbformat.read(path, as_version=4)
    alts = [output.metadata.get(kind, {}).get("alt") for cell in found.cells for output in cell.get("outputs", ())
            for kind in output.get("data", {}) if kind.startswith("image/")]
    assert all(alts), "run `python tools/notebooks.py --describe` and commit the notebook"


def test_the_alt_text_of_a_picture_is_the_sentence_that_says_what_it_shows():
    code, said = nbformat.v4.new_code_cell(), nbformat.v4.new_markdown_cell("Look.\n\nThe figure shows *two* curves: one [rises](x). Another falls.")
    code.outputs = [nbformat.v4.new_output("display_data", {"image/png": "", "text/plain": ""})]
    notebook = nbformat.v4.new_notebook(cells=[code, said])
    assert notebooks.describe(notebook) == 1
    assert code.outputs[0].metadata["image/png"]["alt"] == "Two curves: one rises."
    code.metadata["alt"], code.outputs[0].metadata = "A board.", {}
    notebooks.describe(notebook)
    assert code.outputs[0].metadata["image/png"]["alt"] == "A board."

"""Every code block of docs/ runs: a page's Python in one process, block after block. (README.md: test_packaging; commands: test_cli.)"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from unchanged import LIBRARY

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
STAND_INS = {
    "wandb": """
        class Run:
            def __init__(self): self.lines, self.steps = [], []
            def log(self, data, step=None):
                assert all(isinstance(value, (int, float)) for value in data.values()) and step not in self.steps
                self.lines.append(data), self.steps.append(step)
            def finish(self, exit_code=None, quiet=None):
                assert self.lines and self.steps == sorted(self.steps)
                print(f"wandb: {len(self.lines)} lines, exit code {exit_code}, {self.mode}, {len(self.config)} settings")
        def init(*, project=None, name=None, dir=None, mode=None, config=None):
            run = Run()
            run.mode, run.config = mode, config
            assert project and name and dir.is_dir() and mode in ("online", "offline")
            return run
    """,
    "mlflow": """
        done, lines, open_runs = [], [], []
        def set_tracking_uri(uri): assert uri.startswith("file:/")
        def set_experiment(experiment_name): assert experiment_name
        def start_run(run_name=None): open_runs.append(run_name)
        def log_params(params): assert params["seed"] == 0 and "gamma" in params
        def log_metrics(metrics, step=None):
            assert open_runs and all(isinstance(value, (int, float)) for value in metrics.values())
            lines.append(step)
        def log_artifact(local_path):
            import os
            assert os.path.exists(local_path)
        def end_run(status="FINISHED"): print(f"mlflow: {len(lines)} lines, {status}, {open_runs.pop() is not None}")
    """,
}


def blocks(text: str, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_every_block_says_what_language_it_is():
    """So that none is left out below."""
    assert PAGES
    for page in [ROOT / "README.md", *PAGES]:
        opened = re.findall(r"^```(\w*)$", page.read_text(), re.MULTILINE)[::2]
        assert set(opened) <= {"python", "sh"}, page.name


@pytest.mark.long
@pytest.mark.costly(*LIBRARY, "docs/*.md")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page.read_text(), "python")], ids=lambda page: page.name)
def test_the_python_of_a_page_does_what_it_says(tmp_path, page):
    """wandb and mlflow, where they are not installed, are stand-ins that check what they are given."""
    for name, text in STAND_INS.items():
        if importlib.util.find_spec(name) is None:
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    (tmp_path / "page.py").write_text("\n".join(blocks(page.read_text(), "python")))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    said = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert said.returncode == 0, said.stderr[-3000:]
    assert "failed (" not in said.stderr, said.stderr
    if page.name == "callbacks.md" and (tmp_path / "wandb.py").exists():
        assert re.search(r"wandb: \d+ lines, exit code 0, offline, \d\d settings", said.stdout), said.stdout
    if page.name == "callbacks.md" and (tmp_path / "mlflow.py").exists():
        assert re.search(r"mlflow: \d+ lines, FINISHED, True", said.stdout), said.stdout


def test_every_row_of_the_table_of_features_names_a_test_that_exists():
    text = (ROOT / "docs" / "features.md").read_text().partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20 and len({row[0] for row in rows}) == len(rows)
    for row in rows:
        assert len(row) == 6 and all(row), row
        file, _, name = row[-1].strip("`").partition("::")
        path = ROOT / file
        assert path.exists() and (not name or re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE)), row[-1]


def lines_at_doors() -> dict[str, int]:
    """page#heading -> lines of Python under it, without blanks, comments, docstrings, imports and what only checks."""
    counted = {}
    for page in PAGES:
        for section in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
            heading = re.sub(r"[^a-z0-9 -]", "", section.partition("\n")[0].lower()).replace(" ", "-")
            code = "\n".join(blocks(section, "python"))
            lines = re.sub(r'^ *""".*?"""$', "", code, flags=re.DOTALL | re.MULTILINE).splitlines()
            counted[f"{page.name}#{heading}"] = sum(bool(re.match(r" *(?!import |from |assert |#)\S", line)) for line in lines)
    return counted


def test_the_lines_that_each_door_takes_are_those_of_its_code():
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| `([^`]+)` \|$", (ROOT / "docs" / "features.md").read_text(), re.MULTILINE)
    counted = {door: lines for door, lines in lines_at_doors().items() if lines}
    assert {door: int(lines) for lines, door in rows} == counted and len(rows) == len(counted) > 15


def test_links_of_the_pages_lead_to_files():
    for page in PAGES:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_table_of_the_standard_tasks_is_that_of_its_runs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gymnasium_tasks
    lines = gymnasium_tasks.table(json.loads((ROOT / "benchmarks/gymnasium_tasks.json").read_text()))
    assert len(lines) == 2 + len(gymnasium_tasks.GOALS)
    assert "\n".join(lines) in (ROOT / "benchmarks/GYMNASIUM.md").read_text()

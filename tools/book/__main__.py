"""The course as a static site, built offline from the committed outputs.

    make book               build/book/html/index.html, and slides for lectures in build/book/slides/
    make book ARGS=pdf      and build/book/pdf/, a file for each chapter, printed by Chromium

The notebooks are copied into a source folder, beside the files that they link to, and Sphinx with MyST-NB
turns them into pages with search, dark mode, previous and next. Nothing is executed and nothing is fetched.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
import reference
import slides

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LINK = re.compile(r"\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)*)\)|(?:src|href)=\"([^\"]+)\"")
TO_CELL = re.compile(r"\(([^()\s#]+)#cell-id=([^()\s]+)\)")
HEADING = re.compile(r"^(#+) (.*)$|^(?:```|~~~)", re.MULTILINE)


def pages() -> list[Path]:
    """The files that become pages, relative to the repository."""
    patterns = [
        "index.ipynb",
        "glossary.ipynb",
        "chapters/*.ipynb",
        "capstone/*.ipynb",
        "exercises/*.ipynb",
        "solutions/*.ipynb",
        "docs/*.md",
        "envs/README.md",
        "benchmarks/*.md",
        "teaching/*.md",
        "solutions/README.md",
    ]
    return [path.relative_to(ROOT) for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def lay_out(source: Path) -> None:
    """Write the pages into the folder `source`, with what they show and link to."""
    shutil.rmtree(source, ignore_errors=True)
    found = pages()
    waiting, seen = list(found), set(found)
    while waiting:
        page = waiting.pop()
        target = source / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".ipynb":
            notebook = nbformat.read(ROOT / page, as_version=4)
            text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
            if page == Path("index.ipynb"):
                notebook.cells.append(nbformat.v4.new_markdown_cell(contents(found)))
            nbformat.write(prepared(notebook, page), target)
        elif page.suffix == ".md":
            text = (ROOT / page).read_text(encoding="utf-8")
            target.write_text(text, encoding="utf-8")
        else:                                           # a file that a page shows or offers
            shutil.copy(ROOT / page, target)
            continue
        for linked in linked_files(text, page) - seen:
            seen.add(linked)
            waiting.append(linked)
    reference.write(source / "reference")
    (source / "_static").mkdir()
    shutil.copy(HERE / "book.css", source / "_static")
    shutil.copy(HERE / "conf.py", source)


def linked_files(text: str, page: Path) -> set[Path]:
    """The files of the repository that a page links to or shows, relative to the repository."""
    names = {unquote(one or two).partition("#")[0] for one, two in LINK.findall(text)}
    places = [(ROOT / page.parent / name).resolve() for name in names if name and ":" not in name]
    return {place.relative_to(ROOT) for place in places if place.is_relative_to(ROOT) and place.is_file()}


def label(page: Path, cell: str) -> str:
    """The name of a cell's target, unlike that of every other page."""
    path = Path(os.path.normpath(page)).with_suffix("")
    return "-".join([*path.parts, cell])


def prepared(notebook, page: Path):
    """The notebook as MyST-NB wants it: alt texts in its own key, links to a cell (#cell-id=name) as targets,
    no widgets' state, no bars of a progress that ended long ago. Solutions are told apart by their titles.
    """
    notebook.metadata.pop("widgets", None)
    one_title(notebook.cells)
    if page.parts[0] == "solutions":
        notebook.cells[0].source = notebook.cells[0].source.replace(" exercises:", " solutions:", 1)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs
                            if not output.get("data", {}).get("text/html", "").startswith("<progress")]
        if cell.cell_type == "markdown":
            cell.source = TO_CELL.sub(
                lambda link: f"({link[1]}#{label(page.parent / unquote(link[1]), link[2])})", cell.source
            )
            if "id" in cell:
                cell.source = f"({label(page, cell.id)})=\n{cell.source}"
        elif "outputs" in cell and is_prose(cell):
            cell.metadata.setdefault("tags", []).append("sentences")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            data.pop("application/vnd.jupyter.widget-view+json", None)  # its picture or text stands beside it
            alts = {
                kind: about["alt"]
                for kind, about in output.get("metadata", {}).items()
                if isinstance(about, dict) and "alt" in about
            }
            if alts:
                cell.metadata.setdefault("mystnb", {})["image"] = {"alt": next(iter(alts.values()))}
    return notebook


def one_title(cells) -> None:
    """Leave a notebook of several parts (`# Part 1`) one title: its other headings move down a level, until
    the sections that close the chapter.
    """
    written = [cell for cell in cells if cell.cell_type == "markdown"]
    fenced, titles, closing = False, 0, False

    def moved(found):
        nonlocal fenced, titles, closing
        if not found[1]:                                # a fence: a "heading" inside is a comment
            fenced = not fenced
        if fenced or not found[1]:
            return found[0]
        titles += found[1] == "#"
        closing |= found[2] == "What limits it now"
        level = len(found[1])
        if level == titles == 1:
            return found[0]
        return f"{'#' * (max(2, level) if closing else level + 1)} {found[2]}"

    sources = [HEADING.sub(moved, cell.source) for cell in written]
    if titles > 1:
        for cell, source in zip(written, sources, strict=True):
            cell.source = source


def is_prose(cell) -> bool:
    """Whether a cell prints lines that may be wrapped: no columns set with spaces."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return not re.search(r"\S {2,}\S|^ {2,}", "\n".join(texts), re.MULTILINE)


def contents(found: list[Path]) -> str:
    """The tree of pages for the sidebar, as MyST directives."""

    def tree(caption, names):
        return "\n".join(["```{toctree}", ":hidden:", ":caption: " + caption, "", *names, "```", ""])

    def of(folder):
        inside = [page for page in found if page.parts[0] == folder and page.name != "README.md"]
        return [str(page.with_suffix("")) for page in inside]

    parts = [
        tree("The ten levels", of("chapters")),
        tree("Capstone", of("capstone")),
        tree("Exercises", of("exercises")),
        tree("Solutions", of("solutions")),
    ]
    extra = [name for name in ("glossary",) if Path(f"{name}.ipynb") in found]
    written = [f"reference/{name}" for name in reference.PAGES]
    parts.append(tree("Reference", [*extra, *of("docs"), "envs/README", *written]))
    parts.append(tree("Measurements", of("benchmarks")))
    order = (ROOT / "teaching" / "index.md").read_text(encoding="utf-8")     # its own place, -1, is the first
    pages = sorted(of("teaching"), key=lambda page: order.find(f"({Path(page).name}.md)"))
    parts.append(tree("For lecturers", [*pages, "solutions/README"]))
    return "\n".join(parts)


def build(out: Path) -> Path:
    """Build the site in out/html; returns its first page. Ends the program if Sphinx warns."""
    source, html = out / "source", out / "html"
    lay_out(source)
    how = ["-q", "-W", "--keep-going", "-j", "auto", "-b", "html"]
    run = subprocess.run([sys.executable, "-m", "sphinx", *how, source, html])
    if run.returncode:
        sys.exit(run.returncode)
    return html / "index.html"


def print_pdf(first: Path, folder: Path) -> None:
    """Index and chapters as PDF files in `folder`, by the Chromium that the browser tests use."""
    from playwright.sync_api import sync_playwright  # only for this: it is in the test extra

    browser_path = next(
        (path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None
    )
    if browser_path is None:
        sys.exit(
            "no Chromium given, expected chromium or google-chrome on the PATH: install one, or print from "
            "your browser"
        )
    folder.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        for html in [first, *sorted((first.parent / "chapters").glob("*.html")),
                     *sorted((first.parent / "capstone").glob("*.html"))]:
            page.goto(html.as_uri())
            page.emulate_media(media="print", color_scheme="light")
            page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
            page.pdf(
                path=folder / f"{html.stem}.pdf",
                format="A4",
                print_background=True,
                margin=dict.fromkeys(("top", "bottom", "left", "right"), "16mm"),
            )
        browser.close()


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="make book", description="The course as a static site.")
    parser.add_argument("what", nargs="?", choices=["html", "pdf"], default="html", help="pdf: prints it")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "book", help="folder of the results")
    given = parser.parse_args(arguments)
    first = build(given.out)
    print(first, *slides.write(given.out / "slides"), sep="\n")
    if given.what == "pdf":
        print_pdf(first, given.out / "pdf")
        print(given.out / "pdf")


if __name__ == "__main__":
    main()

"""A deck of slides for each level, made from the chapter: its question, diagrams, figures, summary, and the
lecturer's questions. One HTML file each, nothing beside it; the arrow keys turn the slides, and it prints.
"""

import base64
import html
import math
import re
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
RENDER = MarkdownIt("commonmark").enable("table").render
PICTURE = re.compile(r"!\[([^\]]*)\]\((diagrams/[^)]+)\)")
FILM = re.compile(r'<img alt="([^"]*)" src="data:(image/gif);base64,([^"]*)"')
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\([^)]*\)")
COLUMNS, LINES = 78, 12                                 # what a screen holds in the type below
STYLE = """
body { margin: 0; font: 28px/1.35 Helvetica, Arial, sans-serif; background: #ffffff; color: #222222;
       scroll-snap-type: y mandatory; overflow-y: scroll; height: 100vh; }
section { height: 100vh; box-sizing: border-box; padding: 5vh 8vw; scroll-snap-align: start;
          display: flex; flex-direction: column; justify-content: center; break-after: page; }
h1 { font-size: 56px; } h2 { font-size: 38px; margin: 0 0 3vh; }
img { width: 84vw; min-height: 0; flex: 1; object-fit: contain; align-self: center; }
p.caption { font-size: 20px; color: #5A6270; }
pre { font-size: 18px; white-space: pre-wrap; overflow-wrap: anywhere; }
table { font-size: 22px; border-spacing: 1em 0.2em; }
details summary { cursor: pointer; color: #0072B2; }
@media print { body { height: auto; overflow: visible; } section { height: auto; }
               details { display: none; } }
"""
KEYS = """
document.addEventListener("keydown", event => {
  const step = {ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1}[event.key];
  if (!step) return;
  event.preventDefault();
  const slides = [...document.querySelectorAll("section")], height = window.innerHeight;
  const now = slides.findIndex(slide => slide.getBoundingClientRect().bottom > height / 2);
  slides[Math.min(slides.length - 1, Math.max(0, now + step))].scrollIntoView();
});
"""


def write(folder: Path) -> list[Path]:
    """Write a deck for each chapter into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chapter in sorted((ROOT / "chapters").glob("*.ipynb")):
        paths.append(folder / f"{chapter.stem}.html")
        paths[-1].write_text(deck(chapter), encoding="utf-8")
    return paths


def deck(chapter: Path) -> str:
    """The slides of one chapter as a page."""
    cells = nbformat.read(chapter, as_version=4).cells
    title = re.search(r"^# (.*)$", cells[0].source, re.MULTILINE)[1]
    opening = [text for text in cells[0].source.split("\n\n")[2:] if not text.startswith(("-", "*"))][:1]
    slides = [f"<h1>{html.escape(title)}</h1>" + RENDER(LINK.sub(r"\1", "\n".join(opening)))]
    heading = title
    for cell in cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ (.*)$", cell.source, re.MULTILINE) or [heading])[-1]
            for alt, link in PICTURE.findall(cell.source):
                drawn = (chapter.parent / link).read_bytes()
                slides.append(picture(heading, "image/svg+xml", drawn, alt))
            if "A question with a number" in cell.source or "## Summary" in cell.source:
                for part in sections(cell.source):
                    slides += [RENDER(text) for text in screens(LINK.sub(r"\1", PICTURE.sub("", part)))]
        for output in cell.get("outputs", ()):
            for kind in ("image/png", "image/gif"):
                if kind in output.get("data", {}):
                    drawn = base64.b64decode(output["data"][kind])
                    slides.append(picture(heading, kind, drawn, output.metadata[kind]["alt"]))
                    break
            for alt, kind, drawn in FILM.findall(output.get("data", {}).get("text/html", "")):
                slides.append(picture(heading, kind, base64.b64decode(drawn), html.unescape(alt)))
    slides += questions(title)
    body = "\n".join(f"<section>{slide}</section>" for slide in slides)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
            f"<style>{STYLE}</style></head>\n<body>{body}\n<script>{KEYS}</script></body></html>\n")


def picture(heading: str, kind: str, drawn: bytes, alt: str) -> str:
    """A slide with one picture and what it shows."""
    source = f"data:{kind};base64,{base64.b64encode(drawn).decode()}"
    text = html.escape(alt)
    return (f'<h2>{html.escape(heading.replace("`", ""))}</h2><img src="{source}" alt="{text}">'
            f'<p class="caption">{text}</p>')


def sections(source: str) -> list[str]:
    """The parts of a cell that pose the question or sum up."""
    parts = re.split(r"(?m)^(?=## )", source)
    return [part for part in parts if part.startswith(("## A question with a number", "## Summary"))]


def screens(part: str) -> list[str]:
    """A section cut between its paragraphs into parts that fit a screen, each under the heading."""
    heading, *blocks = re.split(r"(?<!:)\n{2,}(?=\S)", part.strip())
    heading, _, rest = heading.partition("\n")
    found, lines = [[]], 0
    for block in [rest, *blocks] if rest.strip() else blocks:
        tall = 1 + sum(math.ceil(len(line) / COLUMNS) for line in block.splitlines())
        if found[-1] and lines + tall > LINES:
            found.append([])
            lines = 0
        found[-1].append(block)
        lines += tall
    return ["\n\n".join([heading, *blocks]) for blocks in found]


def questions(title: str) -> list[str]:
    """The lecturer's questions of a level, each a slide with its answer folded."""
    text = (ROOT / "teaching" / "questions.md").read_text(encoding="utf-8")
    part = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    slides = []
    for question in re.findall(r"(?ms)^\d+\. (.*?)(?=^\d+\. |\Z)", part):
        asked, options, *remark = [line.strip(" \\") for line in question.strip().splitlines()]
        choices = "\n".join(f"- {option.strip().strip('*')}" for option in options.split(" · "))
        right = re.search(r"\*\*(.*?)\*\*", options)[1]
        answer = "\n\n".join([f"**{right}**", *remark])
        slides.append(f"<h2>{RENDER(asked)}</h2>{RENDER(choices)}"
                      f"<details><summary>Answer</summary>{RENDER(answer)}</details>")
    return slides

"""The book for real: built once, without a warning; every picture has an alt text, every link leads somewhere, nothing is fetched."""

import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.long
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
OPENED = ["index", "glossary", "chapters/01_results", "chapters/03_algorithms", "chapters/08_environments", "exercises/05_vectorization",
          "reference/environments"]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    out = tmp_path_factory.mktemp("book")               # a folder for each of pytest's processes
    run = subprocess.run([sys.executable, "tools/book", "--out", out], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    return out / "html"


class Page(HTMLParser):
    """What a page links to, shows and names."""

    def __init__(self, path):
        super().__init__()
        self.links, self.pictures, self.ids, self.headings = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links += [found[key] for key in ("href", "src") if found.get(key)]
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.pictures.append((found.get("src", ""), found.get("alt")))


@pytest.fixture(scope="module")
def pages(html):
    return {path: Page(path) for path in sorted(html.rglob("*.html")) if "_static" not in path.parts}


def test_every_level_has_its_page_and_its_exercises(html, pages):
    for folder in ("chapters", "capstone", "exercises", "solutions"):
        written = {path.stem for path in (ROOT / folder).glob("*.ipynb")}
        assert written == {path.stem for path in pages if path.parent == html / folder} - {"README"}


def test_every_picture_has_an_alt_text(pages):
    missing = [f"{path.name}: {source[:80]}" for path, page in pages.items() for source, alt in page.pictures if not alt or re.match(r"_images|\.\./_images", alt)]
    assert not missing


def test_every_link_inside_the_book_leads_to_a_file_and_a_heading(html, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            where, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:|//", where):
                continue
            target = (path.parent / where.partition("?")[0]).resolve() if where else path
            if not target.exists() or anchor and target in pages and anchor not in pages[target].ids:
                broken.append(f"{path.relative_to(html)}: {link}")
    assert not broken


def test_a_page_has_one_title_and_its_headings_skip_no_level(html, pages):
    for path, page in pages.items():
        if path.name != "search.html":
            jumps = [after for before, after in zip(page.headings, page.headings[1:], strict=False) if after > before + 1]
            assert page.headings.count(1) == 1 and not jumps, (path.relative_to(html), page.headings)


def test_no_two_entries_of_the_sidebar_have_the_same_words(html):
    sidebar = (html / "index.html").read_text(encoding="utf-8").partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    titles = [re.sub("<[^>]+>", "", title) for title in re.findall(r'<a class="reference internal"[^>]*>(.*?)</a>', sidebar)]
    assert len(titles) > 40 and len(titles) == len(set(titles))


def test_outputs_hold_no_finished_bars_and_no_addresses(html, pages):
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<progress|object at 0x", text), path.relative_to(html)


@pytest.mark.parametrize("tex, drawn", [
    ("V(s')", "<mi>s</mi><mo lspace"), (r"-\infty", "<mi>&#x0221E;</mi>"), ("a = -1", '<mo form="prefix">&#x02212;</mo>'),
    (r"p \log p", '<mspace width="0.167em"></mspace><mi>log</mi><mspace width="0.167em"></mspace>')])
def test_formulas_are_mended_where_the_converter_needs_a_mathematical_font(tex, drawn):
    assert drawn in runpy.run_path(str(ROOT / "tools" / "book" / "conf.py"))["formula"](tex)


def test_pages_need_nothing_from_elsewhere(pages):
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?:https?:)?//", text), path.name


def test_each_level_has_slides_with_its_diagrams_and_questions(html):
    for chapter in (ROOT / "chapters").glob("*.ipynb"):
        text = (html.parent / "slides" / f"{chapter.stem}.html").read_text(encoding="utf-8")
        diagrams = re.findall(r"\(diagrams/[^)]+\)", chapter.read_text(encoding="utf-8"))
        assert text.count("data:image/svg+xml") == len(diagrams) >= 2 and text.count("<summary>Answer") >= 2
        films = re.findall(r'"image/gif": "|data:image/gif', chapter.read_text(encoding="utf-8"))
        assert text.count("data:image/gif") == len(films)
        assert not re.search(r"(?:src|href)=\"(?!data:)", text)


@pytest.mark.browser
def test_pages_open_without_an_error_on_a_desktop_and_on_a_phone(html):
    playwright = pytest.importorskip("playwright.sync_api")
    browser_path = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if browser_path is None:
        pytest.skip("No Chromium was found.")
    said = []
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        for name, (width, height) in WIDTHS.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: said.append(str(error)))
            for opened in OPENED:
                page.goto((html / f"{opened}.html").as_uri())
                assert page.locator("h1").first.is_visible(), (name, opened)
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wide <= 1, f"{opened} scrolls sideways by {wide} pixels on a {name}"
        page.set_viewport_size({"width": 1280, "height": 720})
        for deck in sorted((html.parent / "slides").glob("*.html")):
            page.goto(deck.as_uri())
            tall = page.evaluate("[...document.querySelectorAll('section')].filter(slide =>"
                                 " slide.scrollHeight > slide.clientHeight + 1 || slide.scrollWidth > slide.clientWidth + 1)"
                                 ".map(slide => slide.innerText.slice(0, 80))")
            assert tall == [], deck.name
        page.goto((html / "search.html").as_uri() + "?q=bootstrap")
        page.wait_for_selector("ul.search li a", timeout=20_000)
        browser.close()
    assert said == []

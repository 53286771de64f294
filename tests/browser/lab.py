"""JupyterLab in a real browser, used the way a student uses it: menus, mouse, keys.

    with Lab(folder, browser_path) as lab, lab.open("chapters/01_results.ipynb") as notebook:
        notebook.run_all()
        notebook.move_slider(0)
        player = notebook.player(0)
        player.click(); player.press("ArrowUp"); player.field("step")

The server listens on the loopback only, on a free port with a token of its own, and keeps its settings, its workspaces and the
notebooks it trusts in a folder of its own. The browser is a Chromium of the system, driven by Playwright's Python client.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

CHROMIUM_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},             # every cell stays in the page
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets.map((cell, index) => {
  const model = cell.model.sharedModel.toJSON();
  if (model.cell_type !== 'code') return null;
  const join = (text) => Array.isArray(text) ? text.join('') : (text || '');
  const outputs = model.outputs || [];
  return {index, source: join(model.source), count: model.execution_count,
          pending: (cell.node.querySelector('.jp-InputPrompt') || {innerText: ''}).innerText.includes('*'),
          mime: outputs.map((output) => Object.keys(output.data || {})),
          error: outputs.filter((o) => o.output_type === 'error').map((o) => o.ename + ': ' + o.evalue)[0] || null};
}).filter((cell) => cell)"""
KERNEL = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status || 'none'"


def wait_for(condition, seconds: float, what: str):
    """The first true value of `condition()`; TimeoutError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


class Lab:
    """A JupyterLab server rooted at `folder`, and the browser at `browser_path`."""

    def __init__(self, folder, browser_path, width=1300, height=1000):
        self.folder, self.browser_path = Path(folder).resolve(), browser_path
        self.viewport = {"width": width, "height": height}
        self.token = secrets.token_hex(16)
        self.server = self.playwright = self.browser = None

    def __enter__(self):
        self.scratch = Path(tempfile.mkdtemp(prefix="lab_"))
        self.log = open(self.scratch / "jupyter.log", "wb")
        try:
            self.start_server()
            self.start_browser()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_server(self):
        for plugin, values in SETTINGS.items():
            package, name = plugin.split(":")
            file = self.scratch / "settings" / package / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(self.scratch / "settings"),
                                    "JUPYTERLAB_WORKSPACES_DIR": str(self.scratch / "workspaces"),
                                    "JUPYTER_DATA_DIR": str(self.scratch / "data"), "JUPYTER_CONFIG_DIR": str(self.scratch / "config")}
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
                   "--expose-app-in-browser", f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.folder}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        self.server = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=self.log, stderr=subprocess.STDOUT,
                                       start_new_session=True)
        wait_for(self.answers, 90, "JupyterLab to answer")

    def answers(self):
        if self.server.poll() is not None:
            raise RuntimeError(f"JupyterLab did not start: {(self.scratch / 'jupyter.log').read_text()[-2000:]}")
        try:
            return urllib.request.urlopen(f"{self.url}/api?token={self.token}", timeout=2).read()
        except OSError:
            return None

    def start_browser(self):
        from playwright.sync_api import sync_playwright
        self.playwright = sync_playwright().start()
        self.browser = self.playwright.chromium.launch(executable_path=self.browser_path, args=CHROMIUM_FLAGS)

    def __exit__(self, *exception):
        for stop in (self.browser and self.browser.close, self.playwright and self.playwright.stop):
            with suppress(Exception):
                if stop:
                    stop()
        if self.server and self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGTERM)           # a session of its own: the server and its kernels
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.server.pid, signal.SIGKILL)
        self.log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    @contextmanager
    def open(self, path, seconds=90):
        """The notebook at `path` (relative to the folder) in a fresh browser profile."""
        context = self.browser.new_context(viewport=self.viewport)
        page = context.new_page()
        page.set_default_timeout(seconds * 1000)
        notebook = Notebook(page)
        page.on("pageerror", lambda error: notebook.page_errors.append(str(error)[:500]))
        page.goto(f"{self.url}/lab/tree/{path}?token={self.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.content.widgets")
        try:
            yield notebook
        finally:
            context.close()


class Notebook:
    """An open notebook: run it, read its cells, move its sliders, find its players."""

    def __init__(self, page):
        self.page, self.page_errors = page, []

    def wait_kernel(self, seconds=90):
        def idle():
            accept = self.page.locator(".jp-Dialog button.jp-mod-accept")        # "Select Kernel"
            if accept.count():
                accept.first.click()
            return self.page.evaluate(KERNEL) == "idle"
        wait_for(idle, seconds, "an idle kernel")

    def cells(self) -> list[dict]:
        """index, source, count, pending, mime (types of each output), error of each code cell."""
        return self.page.evaluate(CELLS)

    def run_all(self, seconds=300) -> None:
        """Run > Run All Cells from the menu; raises with the first cell that failed."""
        self.wait_kernel()
        self.menu("Run", "Run All Cells")

        def finished():
            cells = self.cells()
            failed = [cell for cell in cells if cell["error"]]
            if failed:
                raise AssertionError(f"cell {failed[0]['index']} failed: {failed[0]['error']}\n{failed[0]['source']}")
            if self.page.evaluate(KERNEL) in ("dead", "restarting", "autorestarting"):
                raise AssertionError("the kernel died")
            return all(cell["count"] is not None and not cell["pending"] for cell in cells if cell["source"].strip())
        wait_for(finished, seconds, "all cells to finish")

    def run_cell(self, number: int, source: str | None = None) -> None:
        """Run one code cell with Shift+Enter, after writing `source` into it; does not wait for its end."""
        editor = self.page.locator(".jp-CodeCell").nth(number).locator(".cm-content")
        editor.click()
        if source is not None:
            self.page.keyboard.press("Control+a")
            self.page.keyboard.type(source)
        self.page.keyboard.press("Shift+Enter")

    def interrupt(self) -> None:
        """Kernel > Interrupt Kernel from the menu."""
        self.menu("Kernel", "Interrupt Kernel")

    def menu(self, name: str, item: str) -> None:
        self.page.locator("#jp-MainMenu .lm-MenuBar-item", has_text=name).first.click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()

    def sliders(self):
        """The ipywidgets sliders of the page, from top to bottom."""
        return self.page.locator(".widget-slider, .widget-hslider").all()

    def move_slider(self, which=0, presses=2, seconds=20) -> tuple[str, str]:
        """Move a slider's handle by arrow keys; returns its read-out before and after. Waits until the number has changed."""
        slider = self.sliders()[which]
        slider.scroll_into_view_if_needed()
        readout = slider.locator(".widget-readout").first
        before = readout.inner_text()
        handle = slider.locator(".noUi-handle").first
        handle.focus()
        for key in ("ArrowRight", "ArrowLeft"):                                  # it may stand at its upper end already
            for _ in range(presses):
                handle.press(key)
            with suppress(TimeoutError):
                wait_for(lambda: readout.inner_text() != before, seconds / 2, "the slider to move")
                break
        return before, readout.inner_text()

    def output_of(self, widget) -> str:
        """Text and pictures of the whole cell that `widget` is in, to see whether they change."""
        cell = widget.locator("xpath=ancestor::div[contains(@class,'jp-CodeCell')][1]")
        return cell.evaluate("""(cell) => Array.from(cell.querySelectorAll('.jp-OutputArea-output')).map((output) =>
            output.innerText + Array.from(output.querySelectorAll('img, canvas')).map((i) => i.src || i.toDataURL()).join('')).join('|')""")

    def players(self) -> list[GamePicture]:
        return [GamePicture(root) for root in self.page.locator(".puffer-player").all()]

    def screenshot(self, path, whole=True) -> None:
        """PNG of the window; `whole` makes it as tall as the notebook first."""
        tall = self.page.evaluate("""() => { const cells = document.querySelectorAll('.jp-Notebook .jp-Cell');
            return cells[cells.length - 1].getBoundingClientRect().bottom - cells[0].getBoundingClientRect().top; }""")
        size = self.page.viewport_size
        if whole:
            self.page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(int(tall) + 180, 12000))})
            time.sleep(0.6)
        self.page.screenshot(path=str(path))
        self.page.set_viewport_size(size)


class GamePicture:
    """One `Player` on the page."""

    def __init__(self, root):
        self.root, self.screen = root, root.locator(".screen")

    def click(self) -> None:
        self.screen.scroll_into_view_if_needed()
        self.screen.click()

    def button(self, name: str):
        return self.root.locator("button", has_text=name)

    def press(self, key: str) -> None:
        """Press and release a key where the browser's focus is."""
        self.root.page.keyboard.press(key)

    def field(self, name: str) -> str:
        """A number of the read-out: step, action, reward, return, length or episodes."""
        return self.root.locator(f"b[data-field='{name}']").inner_text()

    def pixels(self) -> str:
        """The picture as the browser shows it, as a data URL: equal strings are equal pictures."""
        return self.root.locator("canvas.picture").evaluate("(canvas) => canvas.toDataURL()")

    def legend(self) -> dict[str, str]:
        """Browser key name -> the words of its action, as printed under the picture."""
        rows = self.root.locator(".keys span").evaluate_all("""(rows) => rows.map((row) =>
            [Array.from(row.querySelectorAll('kbd')).map((kbd) => kbd.dataset.key), row.lastChild.textContent.trim()])""")
        return {key: words for keys, words in rows for key in keys}

    def set_speed(self, fps: int) -> None:
        """Move the speed slider."""
        self.root.locator(".speed input").evaluate(
            "(slider, fps) => { slider.value = fps; slider.dispatchEvent(new Event('input')); }", fps)

    def wait_field(self, name: str, value: str, seconds=20) -> None:
        wait_for(lambda: self.field(name) == value, seconds, f"{name} {value!r} in the read-out (it says {self.field(name)!r})")

    def notice(self) -> str:
        """The line under the picture: who plays, what to press, how the last episode ended."""
        return self.root.locator(".notice").inner_text()

"""`make lab` for real: the address it prints opens the table of contents, with this environment's kernel and without nbgrader's menus."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import bootstrap
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def lab():
    """(address of the server, its token, the path that the printed address opens)."""
    if not bootstrap.STAMPS.exists():
        pytest.skip("This environment was not set up by `make`.")
    server = subprocess.Popen(["make", "lab", "ARGS=--no-browser --port=0"], cwd=ROOT, start_new_session=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = []
        for line in server.stdout:
            said.append(line)
            if printed := re.search(r"(http://127[^/]*)(/\S*)\?token=(\w+)", line):
                break
        else:
            pytest.fail("`make lab` printed no address:\n" + "".join(said))
        wait_until_it_listens(printed[1])
        yield printed[1], printed[3], printed[2]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_until_it_listens(address, patience=60):
    """JupyterLab prints its address a moment before it answers there."""
    for _ in range(10 * patience):
        try:
            urllib.request.urlopen(address + "/api", timeout=patience).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"Nothing answered at {address} within {patience} s.")


def read(lab, path):
    address, token, _ = lab
    request = urllib.request.Request(address + path, headers={"Authorization": f"token {token}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode()


def test_the_printed_address_opens_the_table_of_contents(lab):
    assert lab[2] == "/lab/tree/index.ipynb"
    assert "<title>JupyterLab</title>" in read(lab, lab[2])
    assert json.loads(read(lab, "/api/contents/index.ipynb"))["type"] == "notebook"


def test_the_kernel_is_this_environments(lab):
    specs = json.loads(read(lab, "/api/kernelspecs"))
    assert specs["default"] == "python3"
    listed = subprocess.run([sys.executable, "-m", "jupyter", "kernelspec", "list", "--json"], capture_output=True, check=True).stdout
    assert Path(json.loads(listed)["kernelspecs"]["python3"]["resource_dir"]).is_relative_to(sys.prefix)


def test_a_reader_who_studies_alone_sees_no_grading_menus_and_no_news(lab):
    page = json.loads(re.search(r'id="jupyter-config-data" type="application/json">\s*(.*?)\s*</script>', read(lab, lab[2]), re.DOTALL)[1])
    assert any("nbgrader" in name for name in page["disabledExtensions"])
    settings = json.loads(read(lab, "/lab/api/settings/@jupyterlab/apputils-extension:notification"))
    assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"

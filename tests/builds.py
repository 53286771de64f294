"""The debug and the sanitize build, compiled where they are missing or older than their sources: once, however many tests ask."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

from envs.core import compile_settings

ROOT = Path(__file__).resolve().parents[1]


def compiled(build: str, variables: dict, modules: list[str]):
    """Bring `modules` of a build up to date; another process that asks meanwhile waits.

    build       name of the build, which is its folder below build/.
    variables   environment variables that choose it.
    """
    manifest = ROOT / f"envs/.manifest-{build}.json"
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / f"{build}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = json.loads(manifest.read_text()) if manifest.exists() else {}
        paths = {module: module.replace(".", "/") for module in modules}
        stale = [f"{path}.pyx" for module, path in paths.items() if built.get(module) != compile_settings.source_hash(module)
                 or not list((ROOT / "build" / build).glob(f"{path}.*.so"))]
        if stale:
            done = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--parallel", "2"], cwd=ROOT,
                                  env=os.environ | variables | {"PUFFER_ONLY": ",".join(stale)}, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-3000:]

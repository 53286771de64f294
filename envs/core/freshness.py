"""Refuses a stale build: an extension compiled from other sources than those on disk."""

import functools
import json

from envs.core.compile_settings import ROOT, manifest_path, source_hash

MEND = "run `make build`, then restart the kernel"


@functools.cache
def require_fresh(module: str) -> None:
    """Raise ImportError if `module` of this project was compiled from other sources than those on disk.

    Modules compiled by the reader (`puffer_min.course.build`) carry other names and are not looked at.
    """
    source = ROOT / (module.replace(".", "/") + ".pyx")
    if not module.startswith(("envs.", "puffer_min.")) or not source.exists():
        return
    try:
        built = json.loads(manifest_path().read_text()).get(module)
    except FileNotFoundError:
        built = None
    if built != source_hash(module):
        raise ImportError(f"{module} was compiled from an older source than the one on disk: {MEND}")

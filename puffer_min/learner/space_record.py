"""Spaces as plain numbers and tensors, for a checkpoint that is read without unpickling anything."""

from collections import OrderedDict

import numpy as np
import torch
from gymnasium import spaces

from puffer_min.emulation.observations import Layout


def pack_space(space: spaces.Space) -> dict:
    """A space of rows, or of whatever observations.py takes, as plain numbers and tensors."""
    if getattr(space, "layout", None) is not None:
        return {"kind": "rows", "of": pack_space(space.layout.space)}
    if isinstance(space, spaces.Box):
        bounds = {name: torch.from_numpy(np.array(getattr(space, name), order="C")) for name in ("low", "high")}
        return {"kind": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "keys": list(space.spaces), "of": [pack_space(inner) for inner in space.spaces.values()]}
    return {"kind": "Tuple", "of": [pack_space(inner) for inner in space.spaces]}


def unpack_space(packed: dict) -> spaces.Space:
    """The space of `pack_space`."""
    kind = packed["kind"]
    if kind == "rows":
        return Layout(unpack_space(packed["of"])).row_space
    if kind == "Box":
        dtype = np.dtype(packed["dtype"])
        return spaces.Box(packed["low"].numpy().astype(dtype), packed["high"].numpy().astype(dtype), tuple(packed["shape"]), dtype)
    if kind == "Discrete":
        return spaces.Discrete(packed["n"], start=packed.get("start", 0))
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(packed["nvec"], start=packed.get("start"))
    if kind == "MultiBinary":
        return spaces.MultiBinary(packed["n"])
    # A plain dict would be sorted, and the order of the keys is the order of the row.
    inner = [unpack_space(part) for part in packed["of"]]
    return spaces.Dict(OrderedDict(zip(packed["keys"], inner))) if kind == "Dict" else spaces.Tuple(inner)

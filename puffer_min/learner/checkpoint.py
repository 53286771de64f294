"""Checkpoints: what a policy is, and all that decides how its training goes on.

A checkpoint is one file of `torch.save`:

    format, env_name, env_settings, observation_space, observation_sets, action_space, config, seed, policy    enough to play
    steps, updates, seconds, learner, env                                                      to go on training, exactly

It is written beside its place and then renamed, so that a crash leaves the old file or the new one, never half of one.
Weights are loaded without unpickling anything. The environment's state is a pickle, because a Python environment may hold any
object; it is opened only to resume, so resume only from files of your own.
"""

import _codecs
import dataclasses
import io
import os
import pickle
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces

from puffer_min.emulation.observations import Layout
from puffer_min.learner.config import Config
from puffer_min.learner.policy import Actor, Policy

FORMAT = 1
NUMPY = [np.ndarray, np.dtype, np._core.multiarray._reconstruct, np._core.multiarray.scalar, _codecs.encode,
         *{type(np.dtype(code)) for code in np.typecodes["All"]}]
"""What NumPy's numbers and arrays are pickled with; a checkpoint may hold them beside tensors and plain values."""


class CheckpointError(ValueError):
    """A file that is no checkpoint, is cut short, or belongs to something else; the message says which and what to do."""


def save_checkpoint(path, contents: dict) -> Path:
    """Write `contents` to `path`, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(contents, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_checkpoint(path) -> dict:
    """The contents of a checkpoint. Raises CheckpointError if there is none, or if it is damaged."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}" + (", it is a folder: name the file in it" if path.is_dir() else ""))
    try:
        contents = load(path)
    except Exception as error:          # torch raises RuntimeError, EOFError, UnpicklingError, OSError ... for damaged files
        raise CheckpointError(f"{path} ({path.stat().st_size:,} bytes) is not a checkpoint or was cut short; "
                              "take an earlier one, or train again") from error
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        found = contents.get("format") if isinstance(contents, dict) else None
        raise CheckpointError(f"{path} has format {found}, expected {FORMAT}: it was not written by this version of puffer_min")
    return contents


def load(file) -> object:
    """The contents of a file of `torch.save`, of tensors, NumPy arrays, numbers and plain values only. Raises what torch raises."""
    with torch.serialization.safe_globals(NUMPY):
        return torch.load(file, map_location="cpu", weights_only=True)


def is_readable(value) -> bool:
    """Whether a checkpoint that holds `value` could be read back: not where it holds functions or objects of other classes."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        load(file)
        return True
    except Exception:                   # torch and pickle raise anything
        return False


def describe_policy(policy: Policy, env, env_name: str, env_settings: dict, config: Config, seed: int) -> dict:
    """The part of a checkpoint that is enough to play."""
    sets = getattr(env, "observation_sets", None)
    spaces_of = {name: pack_space(getattr(env, f"single_{name}")) for name in ("observation_space", "action_space")}
    return {"format": FORMAT, "env_name": env_name, "env_settings": env_settings, "observation_sets": sets, **spaces_of,
            "config": dataclasses.asdict(config), "seed": seed,
            "policy": {name: tensor.detach().cpu().clone() for name, tensor in policy.state_dict().items()}}


def config_of(contents: dict) -> Config:
    """The configuration of a checkpoint; settings of an earlier version that are no more are left out."""
    known = {field.name for field in dataclasses.fields(Config)}
    return Config(**{name: value for name, value in contents["config"].items() if name in known})


def policy_from(contents: dict) -> Policy:
    """The network of a checkpoint, on the CPU."""
    config = config_of(contents)
    with torch.random.fork_rng(devices=[]):             # the weights drawn here are replaced at once
        policy = Policy(unpack_space(contents["observation_space"]), unpack_space(contents["action_space"]), hidden_size=config.hidden_size,
                        num_layers=config.num_layers, encoder=config.encoder, recurrent=config.recurrent,
                        observation_sets=contents.get("observation_sets"))
    policy.load_state_dict(contents["policy"])
    return policy


def load_policy(path, *, seed: int = 0, greedy: bool = False) -> Actor:
    """The policy of a checkpoint, ready to play: `act(observations) -> actions`, `reset()`, `observe_ends(ends)`."""
    return Actor(policy_from(read_checkpoint(path)), seed=seed, greedy=greedy)


def require_same_environment(contents: dict, path, env, env_name: str) -> None:
    """Raise CheckpointError unless the checkpoint was made on this environment; env=None compares the names only."""
    given, expected = contents["env_name"], env_name
    if given == expected and env is not None:
        given = f"{unpack_space(contents['observation_space'])} and {unpack_space(contents['action_space'])}"
        expected = f"{env.single_observation_space} and {env.single_action_space}"
    if given != expected:
        raise CheckpointError(f"{path} is a checkpoint of {given}, expected one of {expected}: give the checkpoint of this environment")


def pack_state(env) -> torch.Tensor | None:
    """The environment's whole state as a pickle, uint8; None if it cannot give one. Raises what pickling it raises."""
    if not hasattr(env, "get_state"):
        return None
    file = io.BytesIO()
    pickle.dump(env.get_state(), file)
    return torch.frombuffer(file.getbuffer(), dtype=torch.uint8)


def unpack_state(packed: torch.Tensor):
    """What `get_state` gave. Unpickles, so only for files of your own. Raises what unpickling it raises."""
    return pickle.loads(packed.numpy())


# ---------------------------------------------------------------------- spaces

def pack_space(space: spaces.Space) -> dict:
    """A space, or the row space of observations.py, as plain numbers and tensors that are read without unpickling anything."""
    if getattr(space, "layout", None) is not None:
        return {"kind": "rows", "of": pack_space(space.layout.space)}
    if isinstance(space, spaces.Box):
        bounds = {name: torch.from_numpy(np.array(getattr(space, name), space.dtype.newbyteorder("="), order="C")) for name in ("low", "high")}
        return {"kind": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist(), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "keys": list(space.spaces), "of": [pack_space(inner) for inner in space.spaces.values()]}
    return {"kind": "Tuple", "of": [pack_space(inner) for inner in space.spaces]}


def unpack_space(packed: dict) -> spaces.Space:
    """The space of `pack_space`."""
    kind, dtype = packed["kind"], np.dtype(packed.get("dtype", np.int64))       # older files have none for whole numbers
    if kind == "rows":
        return Layout(unpack_space(packed["of"])).row_space
    if kind == "Box":
        return spaces.Box(packed["low"].numpy().astype(dtype), packed["high"].numpy().astype(dtype), tuple(packed["shape"]), dtype)
    if kind == "Discrete":
        other = {} if dtype == np.int64 else {"dtype": dtype}                   # Gymnasium 1.0 knows int64 alone
        return spaces.Discrete(packed["n"], start=packed.get("start", 0), **other)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(packed["nvec"], start=packed.get("start"), dtype=dtype)
    if kind == "MultiBinary":
        return spaces.MultiBinary(packed["n"])
    # A plain dict would be sorted, and the order of the keys is the order of the row.
    inner = [unpack_space(part) for part in packed["of"]]
    return spaces.Dict(OrderedDict(zip(packed["keys"], inner))) if kind == "Dict" else spaces.Tuple(inner)

"""Checkpoints: a policy, and everything that its training needs to continue.

A checkpoint is one file of `torch.save`:

    format, env_name, env_settings, observation_space, observation_sets, action_space, config, seed, made_by,
    policy                                          enough to play
    steps, updates, seconds, learner, env, ...      to continue training exactly

It is written to a temporary file and then renamed, so that a crash leaves the old file or the new one, not a
part. It holds tensors, plain numbers, texts and containers of these; other values are refused when it is
written. It is read without unpickling, after its checksums were compared. The environment's state is a
pickle, because a Python environment may hold any object; only resuming opens it, so resume only from files of
your own. A network of your own is made by the factory that `made_by` names, which is imported.
"""

import contextlib
import copy
import dataclasses
import io
import os
import pickle
import secrets
import zipfile
from collections import OrderedDict
from pathlib import Path, PurePath

import numpy as np
import torch
from gymnasium import spaces

from puffer_min.emulation.observations import Layout
from puffer_min.env.spec import EnvSpec, GroupRows
from puffer_min.learner.actor import Actor, build_policy, find_factory, name_of_factory
from puffer_min.learner.config import Config
from puffer_min.learner.policy import make_policy

FORMAT = 1
FIELDS = {"env_name": str, "env_settings": dict, "observation_space": dict, "action_space": dict,
          "config": dict, "seed": int, "policy": dict}
RESUMED = {"steps": int, "updates": int, "seconds": int | float, "learner": dict, "env": torch.Tensor | None}
AGAIN = "take an earlier one, or train again"
DEFAULT = name_of_factory(make_policy)


class CheckpointError(ValueError):
    """The file is not a checkpoint, is damaged, or is of another environment. The message says what to do."""


# ---------------------------------------------------------------------- files

def save_checkpoint(path, contents: dict) -> Path:
    """Write `contents` to `path`, whole or not at all.

    Raises CheckpointError, before anything is written, for a value that a checkpoint cannot hold.
    """
    path, contents = Path(path), plain(contents)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            torch.save(contents, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def plain(value, where=""):
    """`value` in types that `read_checkpoint` reads. Raises CheckpointError naming a part of another type."""
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, dict):
        return {plain(key, where): plain(part, f"{where}[{key!r}]" if where else str(key))
                for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(part, f"{where}[{i}]") for i, part in enumerate(value))
    if torch.is_tensor(value):
        return value.detach()
    if isinstance(value, np.generic) and isinstance(value.item(), (bool, int, float, str)):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"numpy array": torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C"))}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    raise CheckpointError(f"{where} is {value!r:.60}, which a checkpoint cannot hold: expected numbers, "
                          "texts, arrays, paths, and lists, tuples and dicts of these")


def is_readable(value) -> bool:
    """Whether a checkpoint can hold `value`."""
    try:
        return plain(value) is not NotImplemented
    except CheckpointError:
        return False


def as_given(value):
    """The reverse of `plain`: its arrays and paths as arrays and paths again."""
    if isinstance(value, dict):
        if list(value) == ["numpy array"]:
            return value["numpy array"].numpy()
        if list(value) == ["path"]:
            return Path(value["path"])
        return {key: as_given(part) for key, part in value.items()}
    return type(value)(map(as_given, value)) if type(value) in (list, tuple) else value


def read_checkpoint(path) -> dict:
    """The contents of a checkpoint. Raises CheckpointError if there is none, or if it is damaged."""
    path = Path(path)
    if not path.is_file():
        folder = ", it is a folder: name the file in it" if path.is_dir() else ""
        raise CheckpointError(f"there is no checkpoint {path}{folder}")
    try:
        with zipfile.ZipFile(path) as archive:          # torch.load compares no checksum
            if archive.testzip() or any(entry.external_attr for entry in archive.infolist()):
                raise zipfile.BadZipFile(path)
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:                          # damaged files raise any exception
        raise CheckpointError(f"{path} ({path.stat().st_size:,} bytes) is not a checkpoint or was cut short "
                              f"or damaged; {AGAIN}") from error
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        found = contents.get("format") if isinstance(contents, dict) else None
        raise CheckpointError(f"{path} has format {found}, expected {FORMAT}: it was not written by this "
                              "version of puffer_min")
    for name, kind in (FIELDS | (RESUMED if "learner" in contents else {})).items():
        if not isinstance(contents.get(name, NotImplemented), kind):
            expected = getattr(kind, "__name__", kind)
            raise CheckpointError(f"{path} holds {name}={contents.get(name)!r:.60}, expected {expected}; "
                                  f"{AGAIN}")
    contents["env_settings"] = as_given(contents["env_settings"])
    return contents


# ---------------------------------------------------------------------- policies

def describe_policy(policy, env, env_name: str, env_settings: dict, config: Config, seed: int) -> dict:
    """The part of a checkpoint that playing needs. `build_policy` made `policy` for `env`."""
    spec, opponents = EnvSpec.of(env), getattr(env, "opponents_record", None)
    more = {"opponents": opponents} if opponents else {}
    return {"format": FORMAT, "env_name": env_name, "env_settings": env_settings,
            "observation_sets": spec.observation_sets,
            "observation_space": pack_space(spec.single_observation_space),
            "action_space": pack_space(spec.single_action_space),
            "config": dataclasses.asdict(config), "seed": seed, "made_by": policy.made_by, **more,
            "policy": {name: tensor.detach().cpu().clone() for name, tensor in policy.state_dict().items()}}


def config_of(contents: dict, path="the checkpoint") -> Config:
    """The configuration of a checkpoint, without settings that only an earlier version had."""
    known = {field.name for field in dataclasses.fields(Config)}
    try:
        return Config(**{name: value for name, value in contents["config"].items() if name in known})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds a setting that does not fit: {error}; {AGAIN}") from error


def spaces_of(contents: dict, path="the checkpoint") -> tuple[spaces.Space, spaces.Space]:
    """The observation and action space of a checkpoint."""
    try:
        return unpack_space(contents["observation_space"]), unpack_space(contents["action_space"])
    except Exception as error:                          # changed spaces raise any exception
        raise CheckpointError(f"{path} holds spaces that cannot be read ({type(error).__name__}: {error}); "
                              f"{AGAIN}") from error


def factory_of(contents: dict, path="the checkpoint", policy=None):
    """The factory of a checkpoint's network: `policy`, or the one that it names. Raises CheckpointError."""
    name = contents.get("made_by", DEFAULT)
    factory = policy or find_factory(name)
    if factory is None:
        raise CheckpointError(f"{path} holds a network made by {name}, which cannot be imported here: pass "
                              "policy=, the factory that made it (on the command line --policy FILE.py:NAME)")
    return factory


def policy_from(contents: dict, path="the checkpoint", policy=None):
    """The network of a checkpoint, on the CPU, made by its factory or by the factory `policy`.

    Raises CheckpointError if the network cannot be made, or if the weights do not fit it or are not finite.
    """
    factory, config = factory_of(contents, path, policy), config_of(contents, path)
    weights = contents["policy"]
    spec = EnvSpec(*spaces_of(contents, path), observation_sets=contents.get("observation_sets"))
    head = weights.get("head.weight")
    if factory is make_policy and torch.is_tensor(head) and head.shape[-1] != config.hidden_size:
        raise CheckpointError(f"{path} holds hidden_size={config.hidden_size}, but weights of "
                              f"{head.shape[-1]}; {AGAIN}")
    try:
        with torch.random.fork_rng(devices=[]):         # the weights drawn here are replaced at once
            network = build_policy(factory, spec, config)
        network.load_state_dict(weights)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} holds weights that do not fit the network of its spaces and settings "
                              f"({reason}); {AGAIN}") from error
    bad = [name for name, tensor in network.state_dict().items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(f"{path} holds a NaN or an infinity in {bad[0]!r}; {AGAIN}")
    return network


def load_policy(path, policy=None, *, seed: int = 0, greedy: bool = False) -> Actor:
    """The policy of a checkpoint, ready to play.

    policy   the factory that made the network, where it cannot be imported by its name
    """
    return Actor(policy_from(read_checkpoint(path), path, policy), seed=seed, greedy=greedy)


# ---------------------------------------------------------------------- resuming

def require_same_environment(contents: dict, path, env, env_name: str) -> None:
    """Raise CheckpointError unless the checkpoint is of this environment; env=None compares the names."""
    given, expected = contents["env_name"], env_name
    if given == expected and env is not None:
        given = " and ".join(map(str, spaces_of(contents, path)))
        expected = f"{env.single_observation_space} and {env.single_action_space}"
    if given != expected:
        raise CheckpointError(f"{path} is a checkpoint of {given}, expected one of {expected}: give the "
                              "checkpoint of this environment")


@contextlib.contextmanager
def making_with(contents: dict, path):
    """While an environment is made with the settings of a checkpoint (None: of none), which it must take."""
    try:
        yield
    except TypeError as error:
        if not contents or not contents["env_settings"]:
            raise
        raise CheckpointError(f"{path} is a checkpoint of {contents['env_name']} with env_settings "
                              f"{contents['env_settings']}, with which this environment cannot be made "
                              f"({error}): give the checkpoint of this environment") from error


def restore_learner(learner, contents: dict, path) -> None:
    """Give `learner` the state of a checkpoint. Raises CheckpointError if it does not fit."""
    try:
        learner.set_state(contents["learner"])
        learner.steps, learner.updates = contents["steps"], contents["updates"]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason, config = f"{type(error).__name__}: {str(error).splitlines()[0]}", learner.config
        other = ", ".join(f"{name}={value!r}" for name, value in contents["config"].items()
                          if name != "total_steps" and getattr(config, name, value) != value)
        advice = f"it was saved with {other}: give the same, or train again" if other else AGAIN
        raise CheckpointError(f"{path} holds a state of training that does not fit this run ({reason}); "
                              f"{advice}") from error


def pack_state(env) -> torch.Tensor | None:
    """The environment's state as a pickle, uint8; None if it cannot give one. Raises pickle's exceptions."""
    if not hasattr(env, "get_state"):
        return None
    file = io.BytesIO()
    pickle.dump(env.get_state(), file)
    return torch.frombuffer(file.getbuffer(), dtype=torch.uint8)


def unpack_state(packed: torch.Tensor):
    """The state that was packed. Unpickles, so only for files of your own. Raises pickle's exceptions."""
    return pickle.loads(packed.numpy())


class Resumable:
    """The part of `PPO` that goes into a checkpoint."""

    def learned(self) -> dict:
        """Copies of all that an update changes: weights, statistics of the observations, Adam's state."""
        return {"weights": self.weights.detach().clone(),
                "optimizer": copy.deepcopy(self.optimizer.state_dict()["state"]),
                "statistics": {name: tensor.clone() for name, tensor in self.policy.named_buffers()}}

    def set_learned(self, learned: dict) -> None:
        """Put back the copies of `learned`."""
        self.weights.data.copy_(learned["weights"])
        for name, tensor in self.policy.named_buffers():
            tensor.copy_(learned["statistics"][name])
        state = copy.deepcopy(learned["optimizer"])
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})

    def get_state(self) -> dict:
        """Everything that learning needs to continue, except the environment's state: tensors and numbers."""
        scale = {"reward_scale": self.reward_scale.get_state()} if self.reward_scale is not None else {}
        return self.learned() | scale | {
            "generator": self.generator.get_state(), "shuffle": self.shuffle.get_state(),
            "policy_state": self.state.clone(), "buffer": self.buffer.get_state(),
            "recent": [list(entry) for entry in self.episodes.recent], "episodes": self.episodes.ended}

    def set_state(self, state: dict) -> None:
        """Put back `get_state`; the learner must have the same environment and configuration."""
        self.set_learned(state)
        self.generator.set_state(state["generator"])
        self.shuffle.set_state(state["shuffle"])
        self.state = state["policy_state"].to(self.device)
        if self.reward_scale is not None:
            self.reward_scale.set_state(state["reward_scale"])
        self.buffer.set_state(state["buffer"])
        self.episodes.recent.extend(map(tuple, state["recent"]))
        self.episodes.ended = state["episodes"]


class ResumableRows:
    """The part of `RolloutBuffer` that goes into a checkpoint."""

    LASTING = ("observations", "actions", "log_probs", "values", "rewards", "terminals", "truncations",
               "final_values", "action_masks", "next_values", "states")     # the rest is computed from these

    def get_state(self) -> dict:
        """What the next update will see: nothing if aligned, else the agents' places and the kept rows.

        There are zeros where nothing was written, so that equal runs have equal checkpoints.
        """
        if self.aligned:
            return {"aligned": True}
        begun, full = self.column_of > 0, self.filled[:self.full_rows].clone()
        kept = torch.cat([self.row_of[begun], full])
        lengths = torch.cat([self.column_of[begun], torch.full_like(full, self.horizon)])
        written = torch.arange(self.horizon) < lengths.unsqueeze(1)
        tables = {name: getattr(self, name)[kept] for name in self.LASTING}
        for name, table in tables.items():
            if name == "next_values":
                table[lengths < self.horizon] = 0
            elif name != "states":
                cut = tables["truncations"] & ~tables["terminals"]
                table[~(written & cut if name == "final_values" else written)] = 0
        return {"aligned": False, "next_free": self.next_free, "kept": kept, "full": full, "tables": tables,
                **{name: getattr(self, name).clone() for name in ("row_of", "column_of", "order")}}

    def set_state(self, state: dict) -> None:
        """Put back `get_state`."""
        self.reset()
        if state["aligned"]:
            return
        self.aligned, self.next_free, self.full_rows = False, state["next_free"], len(state["full"])
        self.filled[:self.full_rows] = state["full"]
        for name in ("row_of", "column_of", "order"):
            getattr(self, name).copy_(state[name])
        for name, rows in state["tables"].items():
            getattr(self, name)[state["kept"]] = rows


# ---------------------------------------------------------------------- spaces

def pack_space(space: spaces.Space) -> dict:
    """A space, the row space of observations.py or `GroupRows`, as plain numbers and tensors."""
    if isinstance(space, GroupRows):
        parts = [[pack_space(spec.single_observation_space), pack_space(spec.single_action_space)]
                 for spec in space.groups.values()]
        return {"kind": "groups", "names": list(space.groups), "of": parts, "agents": dict(space.agents)}
    if getattr(space, "layout", None) is not None:
        return {"kind": "rows", "of": pack_space(space.layout.space)}
    record = {"kind": type(space).__name__, "dtype": str(space.dtype)}
    if isinstance(space, spaces.Box):
        native = space.dtype.newbyteorder("=")
        low, high = (torch.from_numpy(np.array(side, native, order="C")) for side in (space.low, space.high))
        return record | {"kind": "Box", "shape": list(space.shape), "low": low, "high": high}
    if isinstance(space, spaces.Discrete):
        return record | {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return record | {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if isinstance(space, spaces.Dict):
        parts = [pack_space(inner) for inner in space.spaces.values()]
        return {"kind": "Dict", "keys": list(space.spaces), "of": parts}
    return {"kind": "Tuple", "of": [pack_space(inner) for inner in space.spaces]}


def unpack_space(packed: dict) -> spaces.Space:
    """The space of `pack_space`."""
    kind, dtype = packed["kind"], np.dtype(packed.get("dtype", np.int64))   # older files have none
    if kind == "groups":
        specs = [EnvSpec(*map(unpack_space, part)) for part in packed["of"]]
        return GroupRows(dict(zip(packed["names"], specs, strict=True)), packed["agents"])
    if kind == "rows":
        return Layout(unpack_space(packed["of"])).row_space
    if kind == "Box":
        low, high = (packed[side].numpy().astype(dtype) for side in ("low", "high"))
        return spaces.Box(low, high, tuple(packed["shape"]), dtype)
    if kind == "Discrete":
        other = {} if dtype == np.int64 else {"dtype": dtype}               # Gymnasium 1.0 knows int64 alone
        return spaces.Discrete(packed["n"], start=packed.get("start", 0), **other)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(packed["nvec"], start=packed.get("start"), dtype=dtype)
    if kind == "MultiBinary":
        return spaces.MultiBinary(packed["n"])
    # A plain dict would be sorted, and the order of the keys is the order of the row.
    inner = [unpack_space(part) for part in packed["of"]]
    if kind == "Dict":
        return spaces.Dict(OrderedDict(zip(packed["keys"], inner, strict=True)))
    return spaces.Tuple(inner)

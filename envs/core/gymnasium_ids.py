"""Gymnasium's ids as environments: `GymnasiumId("ALE/Pong-v5")` makes that environment when it is called."""

import importlib
import warnings

import gymnasium

# Packages that add ids when they are imported, by how the ids begin; other ids are given as "package:Id-v0".
PACKAGES = {"ALE/": "ale_py", "MiniGrid-": "minigrid", "BabyAI-": "minigrid", "highway-": "highway_env",
            "Vizdoom": "vizdoom.gymnasium_wrapper", "NetHack": "nle"}


class GymnasiumId:
    """Makes the environment of a Gymnasium id, for workers in other processes too."""

    native = False

    def __init__(self, spec):
        self.spec, self.__name__ = spec, spec.id

    def __call__(self, **settings):
        return gymnasium.make(self.spec, **settings)

    def __repr__(self):
        return f"GymnasiumId({self.spec.id!r})"


def gymnasium_id(name: str) -> GymnasiumId | None:
    """The maker of a Gymnasium id, "Id-v0" or "package:Id-v0"; None if there is no such id.

    Raises ImportError for an id of PACKAGES whose package is missing.
    """
    package = next((package for start, package in PACKAGES.items() if name.startswith(start)), None)
    if package is not None and name not in gymnasium.registry:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(f"{name} is an environment of {package.partition('.')[0]}, which cannot be "
                              f"imported here ({error}): install it") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")             # that there is a newer version
            return GymnasiumId(gymnasium.spec(name))
    except (gymnasium.error.Error, ImportError, ValueError):
        return None


def known_ids() -> list[str]:
    """The ids of all packages that are imported."""
    return sorted(gymnasium.registry)

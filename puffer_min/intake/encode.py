"""`encode`: functions that turn what has no fixed size, a text, a sequence or a graph, into rows.

    env = puffer_min.encode(env, mission=words(["go", "to", "the", "red", "door"], most=8))     # MiniGrid's
    env = puffer_min.encode(env, items=padded(env.observation_space["items"], most=16))
    env = puffer_min.encode(env, graph_rows(env.observation_space, nodes=20, edges=40))     # the observation
    env = puffer_min.encode(env, text=(my_function, Box(-1, 1, (384,), np.float32)))

An encoder is a pair: a function of one value, and the space of what the function returns. The functions here
can be pickled, so that a checkpoint can hold the state of the environments.
"""

from functools import partial

import gymnasium
import numpy as np
from gymnasium import spaces


def encode(env, whole=None, **parts) -> gymnasium.Env:
    """`env`, with the encoder `whole` for its observation, or with encoders for some keys of its Dict.

    Raises TypeError for another library's environment, a key that the observations have not, and an encoder
    that is no pair.
    """
    if not isinstance(env, gymnasium.Env):
        raise TypeError(f"encode: {type(env).__name__} given, expected a gymnasium.Env: encode the "
                        "observations of PettingZoo's agents in the environment itself")
    given = parts if whole is None else {"whole": whole}
    for name, encoder in given.items():
        pair = isinstance(encoder, tuple) and len(encoder) == 2 and callable(encoder[0])
        if not pair or not isinstance(encoder[1], spaces.Space):
            raise TypeError(f"encode: {name}={encoder!r:.60} given, expected a pair (function, space)")
    if whole is not None:
        return gymnasium.wrappers.TransformObservation(env, *whole)
    known = getattr(env.observation_space, "spaces", None)
    known = known if isinstance(known, dict) else {}
    for name in parts:
        if name not in known:
            raise TypeError(f"encode: {name} given, expected a key of the observations, which are "
                            f"{type(env.observation_space).__name__}({', '.join(map(str, known))})")

    functions = {name: function for name, (function, _) in parts.items()}
    space = spaces.Dict({name: parts[name][1] if name in parts else part for name, part in known.items()})
    return gymnasium.wrappers.TransformObservation(env, partial(changed, functions), space)


def changed(functions, observation):
    """The dict `observation`, with the function of each key that has one applied to its value."""
    return {name: functions[name](value) if name in functions else value
            for name, value in observation.items()}


def words(vocabulary, most: int):
    """Encoder of a text: the numbers of its words in `vocabulary`, from 1, then zeros, `most` in all.

    The function raises ValueError for a word that is not in the vocabulary, and for a longer text.
    """
    numbers = {word: number for number, word in enumerate(dict.fromkeys(vocabulary), 1)}
    return partial(numbers_of, numbers, most), spaces.MultiDiscrete([len(numbers) + 1] * most)


def numbers_of(numbers, most, text):
    """The number in `numbers` of each word of `text`, then zeros, (most,) int64."""
    given = text.replace(",", " ").lower().split()
    unknown = [word for word in given if word not in numbers]
    if unknown or len(given) > most:
        reason = f"the word {unknown[0]!r}" if unknown else f"{len(given)} words"
        raise ValueError(f"text {text!r:.80} has {reason}, expected at most {most} words of "
                         f"{', '.join(numbers):.200}")
    return np.array([numbers[word] for word in given] + [0] * (most - len(given)))


def padded(space: spaces.Sequence, most: int):
    """Encoder of a Sequence of Box or Discrete: (most, 1 + numbers of each) float32, a row 1 and the numbers
    for each member, then rows of zeros. The function raises ValueError for more members than `most`.
    """
    require(space, spaces.Sequence, "padded")
    low, high = limits(space.feature_space)
    return partial(table, most=most, size=low.size), rows_space(low, high, most)


def graph_rows(space: spaces.Graph, nodes: int, edges: int):
    """Encoder of a Graph: rows of "nodes", as `padded` makes them, and rows of "edges".

    A row of an edge holds 1, the two nodes that it joins and its numbers.

    nodes, edges   the most that there may be: the function raises ValueError for a larger graph
    """
    require(space, spaces.Graph, "graph_rows")
    low, high = limits(space.node_space)
    of_edge = [np.zeros(0)] * 2 if space.edge_space is None else limits(space.edge_space)
    edge_low, edge_high = np.r_[0, 0, of_edge[0]], np.r_[nodes - 1, nodes - 1, of_edge[1]]
    joined = spaces.Dict(nodes=rows_space(low, high, nodes), edges=rows_space(edge_low, edge_high, edges))
    return partial(tables_of, (nodes, low.size), (edges, edge_low.size)), joined


def tables_of(of_nodes, of_edges, graph):
    """{"nodes": ..., "edges": ...}, tables of a GraphInstance; each of the two is (most, numbers of each)."""
    links = [] if graph.edge_links is None else list(graph.edge_links)
    own = [np.zeros(0)] * len(links) if graph.edges is None else graph.edges
    joined = [np.r_[link, np.ravel(numbers)] for link, numbers in zip(links, own, strict=True)]
    return {"nodes": table(graph.nodes, *of_nodes), "edges": table(joined, *of_edges)}


def require(space, kind, name) -> None:
    """Raise TypeError unless `space` is a `kind`."""
    if not isinstance(space, kind):
        raise TypeError(f"{name}: {space} given, expected a {kind.__name__}")


def limits(space):
    """(lowest, highest) of the numbers of a Box or Discrete, flat. Raises TypeError for another space."""
    if isinstance(space, spaces.Box):
        return space.low.ravel(), space.high.ravel()
    require(space, spaces.Discrete, "members")
    return np.array([space.start]), np.array([space.start + space.n - 1])


def rows_space(low, high, most) -> spaces.Box:
    """Box (most, 1 + numbers): a mark, and numbers from `low` to `high` or 0."""
    low, high = np.r_[0, np.minimum(low, 0)], np.r_[1, np.maximum(high, 0)]
    return spaces.Box(*(np.tile(side.astype(np.float32), (most, 1)) for side in (low, high)))


def table(members, most: int, size: int):
    """Rows (most, 1 + size) float32 of `members`. Raises ValueError for more of them than `most`."""
    members = list(members)
    if len(members) > most:
        raise ValueError(f"{len(members)} members given, expected at most {most}: give a larger `most`")
    rows = np.zeros((most, 1 + size), np.float32)
    for row, member in zip(rows, members, strict=False):
        row[0], row[1:] = 1, np.ravel(member)
    return rows

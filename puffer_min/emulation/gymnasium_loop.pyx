"""`GymnasiumLoop`: one step of many Gymnasium environments, with everything but the environments' own Python compiled.

For each environment: action out of its row -> env.step -> reward and flags into the buffers -> observation into its row; where an episode
ended, its last observation into `final_observations`, env.reset(), and the first observation into the row (SAME_STEP).
"""

import numpy as np

from envs.core.freshness import require_fresh

cimport numpy as cnp
from cpython.dict cimport PyDict_Check
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t

from puffer_min.emulation.packing cimport Decoder, Packer

cnp.import_array()
require_fresh("puffer_min.emulation.gymnasium_loop")


cdef class GymnasiumLoop:
    """Steps `environments`, `GymnasiumEnv`s of one kind; environment i has row i of `buffers`."""

    cdef list environments, steps, resets
    cdef Packer packer
    cdef Decoder decoder
    cdef object buffers
    cdef char* observations
    cdef char* final_observations
    cdef const char* actions
    cdef float* rewards
    cdef uint8_t* terminals
    cdef uint8_t* truncations
    cdef Py_ssize_t num_envs, row_bytes, action_bytes

    def __init__(self, environments, buffers):
        driver, self.environments = environments[0], list(environments)
        self.steps, self.resets = [env.env.step for env in environments], [env.env.reset for env in environments]
        self.packer, self.decoder = driver.layout.packer, driver.action_layout.decoder
        self.num_envs, self.row_bytes, self.action_bytes = len(environments), self.packer.size, self.decoder.width * 4
        expected = self.num_envs, self.num_envs * self.row_bytes, self.num_envs * self.row_bytes, self.num_envs * self.action_bytes
        given = len(buffers.rewards), buffers.observations.nbytes, buffers.final_observations.nbytes, buffers.actions.nbytes
        if given != expected:
            raise ValueError(f"buffers of {given} rows and bytes given, expected {expected}")
        self.buffers = buffers                      # keeps the memory
        self.observations = <char*> cnp.PyArray_DATA(buffers.observations)
        self.final_observations = <char*> cnp.PyArray_DATA(buffers.final_observations)
        self.actions = <const char*> cnp.PyArray_DATA(buffers.actions)
        self.rewards = <float*> cnp.PyArray_DATA(buffers.rewards)
        self.terminals = <uint8_t*> cnp.PyArray_DATA(buffers.terminals)
        self.truncations = <uint8_t*> cnp.PyArray_DATA(buffers.truncations)

    def step(self):
        """Step every environment once with the actions in the buffers; rewards and flags are all written anew."""
        cdef Py_ssize_t i
        cdef object results, observation, reward
        for i in range(self.num_envs):
            results = (<object> PyList_GET_ITEM(self.steps, i))(self.decoder.decode_from(self.actions + i * self.action_bytes))
            if not PyTuple_CheckExact(results) or PyTuple_GET_SIZE(results) != 5:
                results = five(i, results)
            reward = <object> PyTuple_GET_ITEM(results, 1)
            self.rewards[i] = <float> (PyFloat_AS_DOUBLE(reward) if PyFloat_CheckExact(reward) else number(i, reward))
            self.terminals[i] = flag(i, "terminated", PyTuple_GET_ITEM(results, 2))
            self.truncations[i] = flag(i, "truncated", PyTuple_GET_ITEM(results, 3))
            if not PyDict_Check(<object> PyTuple_GET_ITEM(results, 4)):
                raise TypeError(f"environment {i}: step gave an info of type {type(results[4]).__name__}, expected a dict, "
                                "{} if there is none")
            observation = <object> PyTuple_GET_ITEM(results, 0)
            if self.terminals[i] | self.truncations[i]:
                self.packer.pack_into(observation, self.final_observations + i * self.row_bytes)
                note(i, self.environments[i], results[4])
                observation = first_observation(i, (<object> PyList_GET_ITEM(self.resets, i))())
            self.packer.pack_into(observation, self.observations + i * self.row_bytes)

    def reset(self, Py_ssize_t i, seed):
        """Reset environment i with a seed, or None to go on with its random stream."""
        observation = first_observation(i, self.resets[i](seed=seed))
        self.packer.pack_into(observation, self.observations + i * self.row_bytes)


cdef inline uint8_t flag(Py_ssize_t i, str name, PyObject* value) except? 2:
    if value == <PyObject*> False:
        return 0
    return 1 if value == <PyObject*> True else truth(i, name, <object> value)


cdef uint8_t truth(Py_ssize_t i, str name, object value) except? 2:
    """A flag that is no Python bool: NumPy's, 0 or 1, or an array of one such."""
    if isinstance(value, (np.bool_, int, np.integer)) or getattr(value, "size", None) == 1:
        return bool(value)
    raise TypeError(f"environment {i}: step gave {name}={value!r}, expected a bool")


cdef double number(Py_ssize_t i, object value) except? -1:
    """A reward that is no Python float."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"environment {i}: step gave the reward {value!r}, expected a number") from error


cdef note(Py_ssize_t i, environment, info):
    """Keep what the environment logs of the last `info` of an episode."""
    for j, key in enumerate(environment.metric_names):
        environment.metrics[0, j] = info_number(info, key, f"environment {i}")


def info_number(info, key, who):
    """The number that an `info` holds at an episode's end; ValueError without one."""
    try:
        return float(info[key])
    except (KeyError, TypeError, ValueError):
        given = f"{info[key]!r}" if key in info else f"an info with {', '.join(map(repr, info)) or 'nothing'}"
        raise ValueError(f"{who}: info_keys has {key!r}, but the episode ended with {given}, expected a number under that key") from None


def five(i, results):
    """The results of a step as a tuple of five."""
    if isinstance(results, (tuple, list)) and len(results) == 5:
        return tuple(results)
    given = f"{len(results)} values" if isinstance(results, (tuple, list)) else type(results).__name__
    raise TypeError(f"environment {i}: step gave {given}, expected (observation, reward, terminated, truncated, info); "
                    "an environment of the old Gym returns four")


def first_observation(i, results):
    """The observation in what `reset` gave."""
    if not isinstance(results, tuple) or len(results) != 2 or not isinstance(results[1], dict):
        raise TypeError(f"environment {i}: reset gave {type(results).__name__}, expected the tuple (observation, info)")
    return results[0]

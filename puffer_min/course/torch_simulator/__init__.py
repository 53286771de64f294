"""A simulator as one finds them, like Gymnasium but not Gymnasium, and what binds it to flat rows: level 6
takes the two apart.

    crossing.py     the simulator: torch tensors (worlds, slots, ...), a call for each thing, scenes found in
                    the working directory
    scenes.py       writes the scenes that it loads
    binding.py      `CrossingEnv`, the binding
"""

from puffer_min.course.torch_simulator.binding import CrossingEnv
from puffer_min.course.torch_simulator.crossing import Crossing
from puffer_min.course.torch_simulator.scenes import write_scenes

__all__ = ["Crossing", "CrossingEnv", "write_scenes"]

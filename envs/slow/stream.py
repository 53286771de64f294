"""The random stream of `envs/core/random.pxd` in Python, bit for bit; the slow twins draw from it."""

_MASK = 0xFFFFFFFFFFFFFFFF


def mix(x: int) -> int:
    """SplitMix64's finaliser."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


class Stream:
    """The stream of environment `index` under `seed`."""

    def __init__(self, seed: int, index: int = 0):
        self.state = mix(mix(seed & _MASK) ^ mix((index * 0xD1342543DE82EF95 + 1) & _MASK))

    def draw(self) -> int:
        """The next 64 random bits."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        return mix(self.state)

    def below(self, n: int) -> int:
        """A whole number in [0, n)."""
        return ((self.draw() >> 32) * n) >> 32

    def unit(self) -> float:
        """A float in [0, 1)."""
        return (self.draw() >> 11) * (1.0 / 9007199254740992.0)

    def between(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + (high - low) * self.unit()

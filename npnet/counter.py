"""Random numbers that are a function of where they are used, not of when: a key and a counter go in, bits come out.

Dropout masks, crops, mirrors and shuffles all come from here, so that a run is a function of (recipe, seed) alone: no
state to save, nothing that depends on the number of threads, and every backend draws the same mask. The mixing function
is SplitMix64's (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
"""
from operator import index

import numpy as np
from numpy.typing import NDArray

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / φ, odd: consecutive counters land far apart
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
MASK = 0xFFFFFFFFFFFFFFFF


def key(*parts: int) -> int:
    """One 64-bit key out of several integers: ``key(seed, step, layer)``. The order of the parts counts."""
    k = 0
    for part in parts:
        k = _mix((k ^ (index(part) & MASK)) + GOLDEN & MASK)
    return k


class Key:
    """``key(seed, step)``, at a place where both may change: what was worked out for the place stays valid.

    numbers : the two, uint64. A backend may mix them where it draws. In a training step, where Python fetches all that
    it touches from far memory, `key` takes 11 µs, and to write a large number into an array of NumPy's 8.
    """

    def __init__(self, seed: int = 0, step: int = 0) -> None:
        self.numbers = np.array([index(seed) & MASK, index(step) & MASK], np.uint64)
        self._places = self.numbers.data

    def __reduce__(self) -> tuple[type["Key"], tuple[int, int]]:
        return Key, (self.seed, self.step)

    @property
    def seed(self) -> int:
        return self._places[0]

    @seed.setter
    def seed(self, seed: int) -> None:
        self._places[0] = index(seed) & MASK

    @property
    def step(self) -> int:
        return self._places[1]

    @step.setter
    def step(self, step: int) -> None:
        self._places[1] = index(step) & MASK

    @property
    def number(self) -> int:
        return key(self.seed, self.step)


def bits(key: int, counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 random bits for each counter. Same shape as `counter`; the same key and counter give the same bits, always."""
    z = np.uint64(key) + counter * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    return z ^ (z >> np.uint64(31))


def quarters(key: int, count: int) -> NDArray[np.uint16]:
    """16 random bits for each counter e < count: of ``bits(key, e // 4)`` quarter e % 4, beginning with the lowest."""
    whole = bits(key, np.arange(-(-count // 4), dtype=np.uint64))
    return whole.astype("<u8", copy=False).view("<u2")[:count]


def uniform(key: int, counter: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Uniform in [0, 1), one for each counter, from the upper 53 bits."""
    return (bits(key, counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def generator(*parts: int) -> np.random.Generator:
    """NumPy's generator, for what is drawn once (initial weights, permutations), from the key of `parts`."""
    return np.random.Generator(np.random.Philox(key(*parts)))


def _mix(z: int) -> int:
    z = (z ^ (z >> 30)) * MIX_1 & MASK
    z = (z ^ (z >> 27)) * MIX_2 & MASK
    return z ^ (z >> 31)

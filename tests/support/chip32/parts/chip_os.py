# The port's own os, with the randomness that it lacks here: the same at every run.
from os import *  # noqa: F403

_drawn = [0]


def urandom(size):
    _drawn[0] += 1
    return bytes((_drawn[0] * 73 + place * 151) & 0xFF for place in range(size))

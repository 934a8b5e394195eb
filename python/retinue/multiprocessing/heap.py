"""``multiprocessing.heap``, itself."""

from multiprocessing import heap
from multiprocessing.heap import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, heap)

"""``multiprocessing.reduction``, itself."""

from multiprocessing import reduction
from multiprocessing.reduction import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, reduction)

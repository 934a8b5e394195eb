"""``multiprocessing.synchronize``, itself."""

from multiprocessing import synchronize
from multiprocessing.synchronize import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, synchronize)

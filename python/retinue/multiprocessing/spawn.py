"""``multiprocessing.spawn``, itself."""

from multiprocessing import spawn
from multiprocessing.spawn import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, spawn)

"""``multiprocessing.popen_fork``, itself."""

from multiprocessing import popen_fork
from multiprocessing.popen_fork import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, popen_fork)

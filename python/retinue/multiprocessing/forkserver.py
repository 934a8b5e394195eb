"""``multiprocessing.forkserver``, itself."""

from multiprocessing import forkserver
from multiprocessing.forkserver import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, forkserver)

"""``multiprocessing.popen_forkserver``, itself."""

from multiprocessing import popen_forkserver
from multiprocessing.popen_forkserver import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, popen_forkserver)

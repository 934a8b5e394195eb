"""``multiprocessing.process``, itself."""

from multiprocessing import process
from multiprocessing.process import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, process)

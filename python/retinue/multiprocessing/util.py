"""``multiprocessing.util``, itself."""

from multiprocessing import util
from multiprocessing.util import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, util)

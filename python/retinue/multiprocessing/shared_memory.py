"""``multiprocessing.shared_memory``, itself."""

from multiprocessing import shared_memory
from multiprocessing.shared_memory import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, shared_memory)

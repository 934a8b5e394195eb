"""``concurrent.futures.thread``, itself."""

from concurrent.futures import thread
from concurrent.futures.thread import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, thread)

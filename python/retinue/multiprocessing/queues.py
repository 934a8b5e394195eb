"""``multiprocessing.queues``, itself."""

from multiprocessing import queues
from multiprocessing.queues import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, queues)

"""``multiprocessing.resource_tracker``, itself."""

from multiprocessing import resource_tracker
from multiprocessing.resource_tracker import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, resource_tracker)

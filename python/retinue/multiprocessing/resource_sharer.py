"""``multiprocessing.resource_sharer``, itself."""

from multiprocessing import resource_sharer
from multiprocessing.resource_sharer import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, resource_sharer)

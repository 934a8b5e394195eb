"""``multiprocessing.managers``, itself."""

from multiprocessing import managers
from multiprocessing.managers import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, managers)

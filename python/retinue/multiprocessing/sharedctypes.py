"""``multiprocessing.sharedctypes``, itself."""

from multiprocessing import sharedctypes
from multiprocessing.sharedctypes import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, sharedctypes)

"""``multiprocessing.dummy``, itself: its pools are of threads."""

from multiprocessing import dummy
from multiprocessing.dummy import *  # noqa: F403 (for type checkers)
from multiprocessing.dummy import connection

from retinue._internal.faces import stand_in

stand_in(__name__ + ".connection", connection)  # or it would be looked for in the standard folder, and loaded once more
stand_in(__name__, dummy)

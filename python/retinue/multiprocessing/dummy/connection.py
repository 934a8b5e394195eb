"""``multiprocessing.dummy.connection``, itself."""

from multiprocessing.dummy import connection
from multiprocessing.dummy.connection import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, connection)

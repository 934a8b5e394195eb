"""``multiprocessing.connection``, itself."""

from multiprocessing import connection
from multiprocessing.connection import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, connection)

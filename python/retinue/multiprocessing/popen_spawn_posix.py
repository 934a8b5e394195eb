"""``multiprocessing.popen_spawn_posix``, itself."""

from multiprocessing import popen_spawn_posix
from multiprocessing.popen_spawn_posix import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, popen_spawn_posix)

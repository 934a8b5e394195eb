"""``concurrent.futures._base``, itself."""

from concurrent.futures import _base
from concurrent.futures._base import *  # noqa: F403 (for type checkers)

from retinue._internal.faces import stand_in

stand_in(__name__, _base)

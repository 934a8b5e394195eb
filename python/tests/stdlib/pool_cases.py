"""The standard library's tests of pools, for the start method that the environment names.

A module of its own, because workers that are not forked import test classes by their module.
"""

import os

from test import _test_multiprocessing

_test_multiprocessing.install_tests_in_module_dict(globals(), os.environ["RETINUE_STDLIB_METHOD"])

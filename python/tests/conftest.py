"""The pools that tests share."""

import pytest

from retinue.futures import ProcessPoolExecutor


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def own_pool():
    """For tests that leave long tasks behind."""
    executor = ProcessPoolExecutor(2)
    yield executor
    executor.kill_workers()

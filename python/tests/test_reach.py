"""Calls for a process that does not share this one's memory: what they name in it goes by content, or not at all."""

import functools

import pytest

np = pytest.importorskip("numpy")

import retinue  # noqa: E402
from retinue import _engine  # noqa: E402
from retinue._internal.scope import FreshScope, Scope  # noqa: E402

SCOPES = [Scope(), FreshScope()]


def encode(function, *arguments, scope, same_region):
    return _engine._encode_call(function, arguments, scope, same_region)


# Calls with a shared array of numbers, one of records, which pickle names, or a shared value.
CALLS = {
    "an array": lambda array, records, value: (abs, array),
    "a view": lambda array, records, value: (abs, array[10:20:2]),
    "a value": lambda array, records, value: (abs, value),
    "records": lambda array, records, value: (abs, records),
    "a list of arrays": lambda array, records, value: (abs, [array, array]),
    "a value beside what is pickled": lambda array, records, value: (abs, {"it": value, "other": object}),
    "the second argument": lambda array, records, value: (abs, 1, array),
    "an array that a partial binds": lambda array, records, value: (functools.partial(max, array), 1),
    "a value that a lambda has captured": lambda array, records, value: (lambda: value,),
}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("what", CALLS)
def test_what_names_shared_memory_is_refused_where_the_reader_has_none(what, scope):
    array, records, value = retinue.shared_array(1000), retinue.shared_array(1000, "f4,i8"), retinue.share("x" * 8000)
    function, *arguments = CALLS[what](array, records, value)
    assert len(encode(function, *arguments, scope=scope, same_region=True)) < 4000, "it goes by name"
    with pytest.raises(retinue.PicklingError, match="shared array or a shared value .* does not have: send its content"):
        encode(function, *arguments, scope=scope, same_region=False)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    "arguments", [(1, "two", b"three", 4.0), ([1, 2],), (b"x" * 100_000,), (np.arange(100_000),), (object,)]
)
def test_everything_else_is_the_same_for_both(arguments, scope):
    behind_number = 4 + 1 + 8  # which each function gets anew
    there, here = (encode(abs, *arguments, scope=scope, same_region=it)[behind_number:] for it in (False, True))
    assert there == here


def test_a_copy_of_a_shared_array_travels():
    array = retinue.shared_array(1000)
    array[...] = 3
    assert array.tobytes() in encode(abs, np.array(array), scope=SCOPES[0], same_region=False)


def test_a_function_goes_with_the_call_where_no_block_can_be_named():
    def function():
        return "a text that is longer than what travels without a block of shared memory, as functions otherwise do"

    text = function().encode()
    assert text not in encode(function, scope=SCOPES[0], same_region=True)
    assert text in encode(function, scope=SCOPES[0], same_region=False)

"""What the package hands to the engine by name is checked when it is imported."""

import collections
import os
import subprocess
import sys
import textwrap

import pytest
import retinue
from retinue import _engine
from retinue._internal import helpers, raising
from retinue._internal.options import MapOptions, PoolOptions, TaskOptions

GROUPS = {"pools": helpers.HELPERS, "errors": raising.HELPERS}


@pytest.mark.parametrize("group, name", [(group, name) for group in GROUPS for name in GROUPS[group]])
def test_a_missing_name_is_an_import_error_that_names_it(group, name):
    given = {n: it for n, it in GROUPS[group].items() if n != name}
    with pytest.raises(ImportError, match=f"'{group}'.*missing: {name}$"):
        _engine._register(group, given)


@pytest.mark.parametrize("group", GROUPS)
def test_a_name_that_is_not_known_is_an_import_error_that_names_it(group):
    with pytest.raises(ImportError, match=f"'{group}'.*not known: dumb$"):
        _engine._register(group, {**GROUPS[group], "dumb": len})


def test_shared_arrays_are_checked_likewise():
    pytest.importorskip("numpy")
    from retinue import _arrays

    for name in _arrays.HELPERS:
        with pytest.raises(ImportError, match=f"'arrays'.*missing: {name}$"):
            _engine._register("arrays", {n: it for n, it in _arrays.HELPERS.items() if n != name})
    with pytest.raises(ImportError, match="'arrays'.*not known: dumb$"):
        _engine._register("arrays", {**_arrays.HELPERS, "dumb": len})


def test_a_group_that_is_not_known():
    with pytest.raises(ImportError, match="'nobody'.*nothing is known"):
        _engine._register("nobody", {"dumps": len})


@pytest.mark.parametrize("name, wrong", [("dumps", 3), ("future_class", int), ("future_class", len), ("repeat_class", len)])
def test_what_is_not_a_function_or_not_such_a_class(name, wrong):
    with pytest.raises(ImportError, match=f"{name} is not what it should be"):
        _engine._register("pools", {**helpers.HELPERS, name: wrong})


OPTIONS = {"PoolOptions": PoolOptions, "TaskOptions": TaskOptions, "MapOptions": MapOptions}


@pytest.mark.parametrize("name", [*OPTIONS, "WorkerLimits"])
def test_options_with_a_field_more_or_less_are_an_import_error_that_names_it(name):
    fields = helpers.HELPERS[name]._fields
    more = collections.namedtuple("More", [*fields, "colour"])
    with pytest.raises(ImportError, match="lacks: none. Fields that are not known: colour$"):
        _engine._register("pools", {**helpers.HELPERS, name: more})
    for left_out in fields:
        less = collections.namedtuple("Less", [field for field in fields if field != left_out])
        with pytest.raises(ImportError, match=f"lacks: {left_out}. Fields that are not known: none$"):
            _engine._register("pools", {**helpers.HELPERS, name: less})


def test_the_engine_reads_fields_by_name_wherever_they_stand():
    """In another process, for the order that was registered last is the one that counts."""
    code = """
        import collections
        from retinue import _engine
        from retinue._internal import helpers, options
        from retinue.futures import ProcessPoolExecutor

        class Turned(collections.namedtuple("Turned", ("retries", "timeout"))):
            read = options.TaskOptions.read

        _engine._register("pools", {**helpers.HELPERS, "TaskOptions": Turned})
        with ProcessPoolExecutor(1) as pool:
            import retinue, time
            options = Turned(retries=0, timeout=0.2).read()
            try:
                pool._submit_with(options, time.sleep, 60).result()
            except retinue.TaskTimeout:
                print("as it should be")
    """
    path = os.pathsep.join(p for p in sys.path if p)
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=50,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.stdout == "as it should be\n", ran.stderr


def test_after_all_these_refusals_everything_is_as_it_was():
    with retinue.futures.ProcessPoolExecutor(1) as pool:
        assert pool.options(retries=1).submit(lambda: {"a": [retinue]} and 3).result() == 3


@pytest.mark.parametrize("wrong", [None, (), (1, 2), {"timeout": 1}, TaskOptions()])
def test_options_of_another_class_are_refused(own_pool, wrong):
    with pytest.raises(TypeError, match="no options"):
        own_pool._map(abs, ([1],), wrong)
    with pytest.raises(TypeError, match="no options"):
        own_pool._submit_with(wrong, abs, 1)


def test_the_engine_alone_says_what_it_needs():
    code = "import importlib.util, sys; from retinue import _engine; _engine.Pool()._start_engine(None, None, None)"
    path = os.pathsep.join(p for p in sys.path if p)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert ran.returncode == 1 and "no options of a registered class" in ran.stderr


def test_retinue_by_itself_imports_little_and_yet_raises_its_errors():
    code = """
        import retinue, sys
        print([m for m in ("numpy", "typing", "pickle", "concurrent.futures", "multiprocessing") if m in sys.modules])
        from retinue import _engine
        retinue.limit_shared_memory(1 << 20)
        try:
            _engine.SharedMemory(1 << 24)
        except Exception as error:
            print(type(error).__module__, type(error).__name__)
    """
    path = os.pathsep.join(p for p in sys.path if p)
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert ran.stdout == "[]\nretinue._errors ResourceExhausted\n", ran.stderr

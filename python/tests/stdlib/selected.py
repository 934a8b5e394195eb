"""Runs the standard library's tests of one kind and one start method, in an interpreter that ``run.py`` has made.

    python -m selected PLAN RECORDS

PLAN is JSON: ``kind``, ``method``, ``pattern``, ``only`` these tests, ``without`` these tests and classes. RECORDS gets a line of JSON
for all that happens, so that what was found is known even if this process is killed.
"""

import argparse
import faulthandler
import importlib
import json
import pkgutil
import sys
import time
import unittest

# The longest test of those that pass sleeps for six seconds.
SECONDS_FOR_A_TEST = 60


def modules(kind):
    if kind == "pools":
        return [importlib.import_module("pool_cases")]
    # A module in some versions of Python, a package in others.
    package = importlib.import_module("test.test_concurrent_futures")
    if not hasattr(package, "__path__"):
        return [package]
    return [
        importlib.import_module(f"{package.__name__}.{m.name}")
        for m in pkgutil.iter_modules(package.__path__)
        if m.name.startswith("test_")
    ]


def plain_name(kind, method, test):
    """``Class.test`` without the start method, or nothing if this is not a test of ours."""
    name = type(test).__name__
    if kind == "executors":
        prefix = f"ProcessPool{method.title()}"
        if not name.startswith(prefix) or getattr(test, "ctx", None) != method:
            return ""
        return f"{name[len(prefix):]}.{test._testMethodName}"
    uses_pools = name.startswith(("WithProcessesTestPool", "WithManagerTestPool", "TestPool"))
    uses_pools = uses_pools or "pool" in test._testMethodName and not name.startswith("With")
    return f"{name}.{test._testMethodName}" if uses_pools else ""


def cases(suite):
    for it in suite:
        if isinstance(it, unittest.TestSuite):
            yield from cases(it)
        else:
            yield it


class Recorder(unittest.TestResult):
    def __init__(self, name_of, records):
        super().__init__()
        self._name_of = name_of
        self._records = records

    def note(self, what, test=None, text=""):
        name = self._name_of(test) if isinstance(test, unittest.TestCase) else str(test)
        print(json.dumps({"what": what, "test": name, "time": time.monotonic(), "text": text}), file=self._records)
        self._records.flush()

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(SECONDS_FOR_A_TEST, exit=True)
        self.note("start", test)

    def stopTest(self, test):
        from test import support

        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        if support.environment_altered:  # a process or a thread was left behind, which is printed
            support.environment_altered = False
            self.note("failure", test, "it left something behind; see the warning above")
        self.note("stop", test)

    def addSuccess(self, test):
        self.note("success", test)

    def addSkip(self, test, reason):
        self.note("skip", test, reason)

    def addFailure(self, test, error):
        self.note("failure", test, self._exc_info_to_string(error, test))

    def addError(self, test, error):
        self.note("failure", test, self._exc_info_to_string(error, test))

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.note("failure", test, self._exc_info_to_string(error, test))

    def addExpectedFailure(self, test, error):
        self.note("success", test)

    def addUnexpectedSuccess(self, test):
        self.note("failure", test, "it was expected to fail")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", metavar="PLAN")
    parser.add_argument("records", metavar="RECORDS")
    options = parser.parse_args()
    with open(options.plan) as file:
        plan = json.load(file)
    kind, method = plan["kind"], plan["method"]
    faulthandler.enable()

    import concurrent.futures
    import multiprocessing.pool
    from test import support

    support.verbose = False
    for cls in (concurrent.futures.ProcessPoolExecutor, multiprocessing.pool.Pool):
        if not any(base.__module__.startswith("retinue.") for base in cls.__mro__):
            sys.exit(f"{cls!r} is the standard class; the tests would say nothing of retinue")

    def name_of(test):
        return plain_name(kind, method, test)

    def chosen(name):
        if "only" in plan and name not in plan["only"]:
            return False
        return plan["pattern"] in name and not {name, name.partition(".")[0]} & set(plan.get("without", ()))

    names = []
    suite = unittest.TestSuite()  # and nothing else holds the tests: it releases each after its run
    for module in modules(kind):
        for test in cases(unittest.defaultTestLoader.loadTestsFromModule(module)):
            if name := name_of(test):
                names.append(name)
                if chosen(name):
                    suite.addTest(test)
    del test
    with open(options.records, "a") as records:
        result = Recorder(name_of, records)
        result.note("found", text=sorted(names))
        suite.run(result)
        result.note("end")


if __name__ == "__main__":
    main()

"""``map(..., progress=True)``: how far a map is, on the terminal."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any, Iterable, Iterator, Optional, Protocol


class Bar(Protocol):
    """What is used of a ``tqdm`` bar."""

    def update(self, count: int) -> Any: ...
    def close(self) -> None: ...


class Counter:
    """Where tqdm is missing: one line that is written over, ten times a second at most."""

    def __init__(self, total: Optional[int]) -> None:
        self._total = total
        self._count = 0
        self._shown_at = 0.0

    def update(self, count: int) -> None:
        self._count += count
        now = time.monotonic()
        if now - self._shown_at >= 0.1:
            self._shown_at = now
            self._show("")

    def close(self) -> None:
        self._show("\n")

    def _show(self, end: str) -> None:
        of = "" if self._total is None else f" of {self._total}"
        print(f"\r{self._count}{of} done", end=end, file=sys.stderr, flush=True)


class MapWithProgress:
    """The results of a map; each one that is taken, failed ones included, moves its bar on."""

    def __init__(self, results: Iterator[Any], bar: Bar) -> None:
        self._results: Any = results
        self._bar: Optional[Bar] = bar

    def __iter__(self) -> "MapWithProgress":
        return self

    def __next__(self) -> Any:
        try:
            value = next(self._results)
        except StopIteration:
            self._end_bar()
            raise
        except Exception as error:
            # The map's own timeout takes no item, and comes without a worker's traceback.
            if self._bar is not None and (type(error) is not TimeoutError or error.__cause__ is not None):
                self._bar.update(1)
            raise
        except BaseException:  # Ctrl-C: what is printed next starts on a line of its own
            self._end_bar()
            raise
        if self._bar is not None:
            self._bar.update(1)
        return value

    def close(self) -> None:
        """Cancels the tasks that have not started; the iterator is then at its end."""
        self._results.close()
        self._end_bar()

    def _end_bar(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()

    def __del__(self) -> None:
        try:
            self._end_bar()
        except Exception:  # the interpreter ends, and its streams are gone
            pass


def length(iterables: tuple[Iterable[Any], ...]) -> Optional[int]:
    """How many items a map will have, as far as can be known without reading: an ``itertools.repeat`` among the
    inputs does not hide the length of the others."""
    known = []
    for iterable in iterables:
        try:
            known.append(len(iterable))  # type: ignore[arg-type]
        except TypeError:
            pass
    return min(known) if known else None


def with_progress(results: Iterator[Any], iterables: tuple[Iterable[Any], ...]) -> Iterator[Any]:
    """The results of a map over `iterables`, with a bar."""
    total = length(iterables)
    try:
        # tqdm.auto draws a notebook's bar in a notebook, and is slow to import elsewhere
        tqdm = importlib.import_module("tqdm.auto" if "ipykernel" in sys.modules else "tqdm").tqdm
    except ImportError:
        if sys.stderr is None or not sys.stderr.isatty():
            return results
        return MapWithProgress(results, Counter(total))
    return MapWithProgress(results, tqdm(total=total))

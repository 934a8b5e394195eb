"""A task that does next to nothing, COUNT times: as gate.cpp, through retinue.futures."""

import argparse
import os

from retinue.futures import ProcessPoolExecutor

to_worker, to_owner = os.pipe(), os.pipe()


def held() -> bool:
    return os.write(to_owner[1], b"x") == 1 and os.read(to_worker[0], 1) == b"x"


def square(x: int) -> int:
    return x * x


def all_done() -> bool:
    return os.write(to_owner[1], b"x") == 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", metavar="COUNT", type=int)
    count = parser.parse_args().count
    with ProcessPoolExecutor(1) as pool:
        worker = pool.submit(os.getpid).result()
        first = pool.submit(held)
        os.read(to_owner[0], 1)
        futures = [pool.submit(square, i % 1000) for i in range(count)]
        last = pool.submit(all_done)
        os.write(to_worker[1], b"x")
        os.read(to_owner[0], 1)
        total = sum(future.result() for future in futures)
        assert first.result() and last.result()
    assert total == sum((i % 1000) ** 2 for i in range(count))
    print("owner", os.getpid(), "worker", worker)


if __name__ == "__main__":
    main()

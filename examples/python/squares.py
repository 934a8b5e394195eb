"""A loop over worker processes: concurrent.futures with one import changed."""

from retinue.futures import ProcessPoolExecutor


def square(x):
    return x * x


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:  # a worker for each CPU that this process may use
        print(*pool.map(square, range(1, 11)))

        scale = 3
        print(*pool.map(lambda x: scale * x, range(5)))  # closures travel

        total = sum(pool.map(square, range(200_000)))  # a task costs less than a microsecond: no chunks to choose
        assert total == sum(x * x for x in range(200_000))

"""Arrays in shared memory: read and written by all, copied by nobody."""

import numpy as np
import retinue
from retinue.futures import ProcessPoolExecutor


def fill_row(table, i):
    table[i] = np.sin(i * np.linspace(0, 1, table.shape[1]))


def mean_of(data, low, high):
    return data[low:high].mean()


if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        table = retinue.shared_array((200, 1000))
        list(pool.map(fill_row, [table] * 200, range(200)))
        print("largest:", table.max())

        data = retinue.share(np.arange(1_000_000.0))  # written once, read-only in every task
        print("means:", *pool.map(mean_of, [data] * 4, range(0, 1_000_000, 250_000), range(250_000, 1_000_001, 250_000)))

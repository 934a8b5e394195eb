"""Results as they come: futures in the order they finish, an unordered map, an endless input, asyncio."""

import asyncio
import itertools
import random
import time

from retinue.futures import ProcessPoolExecutor, as_completed


def work(x):
    time.sleep(random.random() / 50)
    return x


if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        for future in as_completed([pool.submit(work, x) for x in range(8)]):
            print("finished", future.result())

        print("any order:", *pool.options(ordered=False).map(work, range(8)))

        endless = pool.map(work, itertools.count())  # read only as far ahead as workers need
        print("the first:", *itertools.islice(endless, 5))
        endless.close()

        async def main():
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(pool, work, x) for x in range(8)))

        print("asyncio:", *asyncio.run(main()))

"""One bad item costs its own result: a crash, an endless loop and an exception among good ones."""

import os
import signal

import retinue
from retinue.futures import ProcessPoolExecutor


def analyse(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGSEGV)  # as a fault in a C extension would
    if x == 5:
        while True:
            pass
    return 10 // (x - 7)


if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        futures = [pool.options(timeout=0.5).submit(analyse, x) for x in range(9)]
        for x, future in enumerate(futures):
            try:
                print(x, future.result())
            except retinue.WorkerDied as death:
                print(x, "its worker died of signal", death.signal)
            except retinue.TaskTimeout:
                print(x, "ran too long and was stopped")
            except ZeroDivisionError as error:
                print(x, "raised:", error)

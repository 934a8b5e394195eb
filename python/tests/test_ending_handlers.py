"""Pools that signal handlers and other threads end, wherever the program happens to be."""

import os

import pytest

from programs import METHODS, folder_in, run


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wait", [True, False])
def test_a_signal_handler_may_shut_an_executor_down_at_any_moment(method, wait, tmp_path):
    run("""
        if __name__ == "__main__":
            rounds, longest = (60, 0.01) if METHOD == "fork" else (5, 0.2)
            seed = random.randrange(1 << 30)
            print("seed", seed)
            random.seed(seed)
            for k in range(rounds):
                executor = ProcessPoolExecutor(2, CONTEXT)
                stopped = []

                def stop(*_):
                    stopped.append(1)
                    executor.shutdown(wait=sys.argv[2] == "True", cancel_futures=bool(k % 2))

                signal.signal(signal.SIGUSR1, stop)
                timer = threading.Timer(random.uniform(0.0005, longest), os.kill, (os.getpid(), signal.SIGUSR1))
                timer.start()
                try:
                    while not stopped:
                        executor.submit(abs, 1)
                        if k % 3 == 0:
                            list(executor.map(abs, range(50)))
                except (RuntimeError, concurrent.futures.CancelledError):
                    pass
                timer.join()
                executor.shutdown()
                assert not executor.worker_pids()
        """, str(wait), method=method, tmp_path=tmp_path)  # fmt: skip


PLACES = {
    "wait": "concurrent.futures.wait([executor.submit(time.sleep, 0.01) for _ in range(50)])",
    "as_completed": "list(concurrent.futures.as_completed([executor.submit(abs, 1) for _ in range(50)]))",
    "result": "executor.submit(time.sleep, 0.02).result()",
    "generator": "list(executor.map(abs, (time.sleep(0.001) or x for x in range(100))))",
    "shutdown": "executor.submit(time.sleep, 0.02); executor.shutdown()",
    "with": "exec('with executor: executor.submit(time.sleep, 0.02)')",
    "callback": "executor.submit(abs, 1).add_done_callback(lambda f: time.sleep(0.001))",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_signal_handler_may_shut_an_executor_down_from_everywhere(place, tmp_path):
    run("""
        if __name__ == "__main__":
            for k in range(30):
                executor = ProcessPoolExecutor(2)
                executor.submit(abs, 1).result()
                stopped = []

                def stop(*_):
                    stopped.append(1)
                    executor.shutdown(wait=bool(k % 2), cancel_futures=bool(k & 2))

                signal.signal(signal.SIGUSR1, stop)
                timer = threading.Timer(random.uniform(0.0005, 0.03), os.kill, (os.getpid(), signal.SIGUSR1))
                timer.start()
                try:
                    while not stopped:
                        PLACE
                except (RuntimeError, concurrent.futures.CancelledError):
                    pass
                timer.join()
                executor.shutdown()
        """.replace("PLACE", PLACES[place]), tmp_path=tmp_path)  # fmt: skip


def test_a_handler_that_has_interrupted_who_holds_a_futures_condition_does_not_wait_for_itself(tmp_path):
    run("""
        if __name__ == "__main__":
            executor = ProcessPoolExecutor(1)
            future = executor.submit(time.sleep, 0.2)
            called = threading.Event()
            future.add_done_callback(lambda f: called.set())
            signal.signal(signal.SIGUSR1, lambda *_: executor.shutdown(wait=True))
            with future._condition:  # as wait() and as_completed() do for a moment
                os.kill(os.getpid(), signal.SIGUSR1)
                time.sleep(0)
            assert future.result(10) is None
            assert called.wait(10)
        """, tmp_path=tmp_path)  # fmt: skip


def test_a_handler_that_submits_while_the_pool_is_started_beneath_it_gets_an_error(tmp_path):
    run("""
        if __name__ == "__main__":
            errors = []
            executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

            def submit_more(*_):
                try:
                    executor.submit(abs, -1)
                except RuntimeError as error:
                    errors.append(str(error))

            signal.signal(signal.SIGUSR1, submit_more)
            timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            assert executor.submit(abs, -2).result(30) == 2
            timer.join()
            assert all("started" in e for e in errors)
            executor.shutdown()
        """, tmp_path=tmp_path)  # fmt: skip


@pytest.mark.parametrize("how", ["executor.shutdown()", "executor.kill_workers()", "executor.shutdown(wait=False)"])
def test_another_thread_may_end_an_executor_that_is_being_started(how, tmp_path):
    run("""
        if __name__ == "__main__":
            executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            ends = []

            def use():
                try:
                    ends.append(executor.submit(abs, -1))
                except RuntimeError as error:
                    ends.append(error)

            user = threading.Thread(target=use)
            user.start()
            time.sleep(0.03)
            HOW
            user.join(20)
            assert len(ends) == 1 and not user.is_alive()
            if isinstance(ends[0], RuntimeError):
                assert "after shutdown" in str(ends[0])
            executor.shutdown()
        """.replace("HOW", how), tmp_path=tmp_path)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["terminate", "close"])
def test_a_signal_handler_may_end_a_pool_of_multiprocessing_at_any_moment(method, how, tmp_path):
    run("""
        class Known(Pool):
            def __init__(self, *args, **kwargs):
                global pool
                pool = self
                super().__init__(*args, **kwargs)

        if __name__ == "__main__":
            rounds, longest = (40, 0.01) if METHOD == "fork" else (4, 0.2)
            for k in range(rounds):
                pool = None
                stopped = []

                def stop(*_):
                    stopped.append(1)
                    if pool is not None and hasattr(pool, "_lock"):
                        getattr(pool, sys.argv[2])()
                        if k % 2:
                            pool.join()

                signal.signal(signal.SIGUSR1, stop)
                timer = threading.Timer(random.uniform(0.0005, longest), os.kill, (os.getpid(), signal.SIGUSR1))
                timer.start()
                mine = Known(2, context=CONTEXT)
                try:
                    while not stopped:
                        mine.apply_async(abs, (1,))
                        mine.map(abs, range(20))
                except (ValueError, RuntimeError, concurrent.futures.CancelledError):
                    pass
                timer.join()
                mine.terminate()
                mine.join()
                assert not mine.worker_pids()
        """, how, method=method, tmp_path=tmp_path)  # fmt: skip


def test_a_signal_handler_may_shut_down_while_the_interpreter_ends(tmp_path):
    run("""
        if __name__ == "__main__":
            executor = ProcessPoolExecutor(2)
            for i in range(3):
                executor.submit(write, sys.argv[2] + f"/{i}")
            signal.signal(signal.SIGUSR1, lambda *_: executor.shutdown())
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        """, str(folder_in(tmp_path)), tmp_path=tmp_path)  # fmt: skip
    assert len(os.listdir(tmp_path / "out")) == 3

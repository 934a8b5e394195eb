"""Pools in the children of forks, and tasks and initializers that use their own pool."""

import pytest

from programs import METHODS, folder_in, run


@pytest.mark.parametrize("method", METHODS)
def test_an_executor_made_before_a_fork_and_first_used_after_it_finishes_its_work(method, tmp_path):
    run("""
        executor = ProcessPoolExecutor(2, CONTEXT)

        if __name__ == "__main__":
            child = os.fork()
            if child == 0:
                for i in range(4):
                    executor.submit(write, sys.argv[2] + f"/{i}")
                sys.exit(3)
            assert wait_for(child) == 3
            assert len(os.listdir(sys.argv[2])) == 4
            assert executor.submit(square, 3).result(30) == 9  # and in the parent
        """, str(folder_in(tmp_path)), method=method, tmp_path=tmp_path)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_so_it_does_in_a_child_of_multiprocessing(method, tmp_path):
    run("""
        executor = ProcessPoolExecutor(2, CONTEXT)

        def use():
            for i in range(4):
                executor.submit(write, sys.argv[2] + f"/{i}")

        if __name__ == "__main__":
            child = multiprocessing.get_context("fork").Process(target=use)
            child.start()
            child.join(30)
            assert child.exitcode == 0, child.exitcode
            assert len(os.listdir(sys.argv[2])) == 4
        """, str(folder_in(tmp_path)), method=method, tmp_path=tmp_path)  # fmt: skip


def test_so_it_does_in_the_child_of_a_child_and_in_a_task_of_another_pool(tmp_path):
    run("""
        executor = ProcessPoolExecutor(2)
        other = ProcessPoolExecutor(1)

        def use(x):
            return executor.submit(square, x).result(20)

        if __name__ == "__main__":
            child = os.fork()
            if child == 0:
                child = os.fork()
                if child == 0:
                    executor.submit(write, sys.argv[2] + "/0")
                    sys.exit(0)
                assert wait_for(child) == 0
                sys.exit(0)
            assert wait_for(child) == 0
            assert os.listdir(sys.argv[2]) == ["0"]
            assert other.submit(use, 4).result(30) == 16
        """, str(folder_in(tmp_path)), tmp_path=tmp_path)  # fmt: skip


def test_a_fork_while_another_thread_starts_the_executor_leaves_the_child_one_that_works(tmp_path):
    run("""
        if __name__ == "__main__":
            for i in range(10):
                # Spawned processes load this file, so the first start takes a second, however busy the machine is.
                executor = ProcessPoolExecutor(2, multiprocessing.get_context("spawn" if i == 0 else "fork"))
                starter = threading.Thread(target=executor.submit, args=(square, 1))
                starter.start()
                time.sleep(0.05 if i == 0 else i * 0.0005)
                child = os.fork()
                if child == 0:
                    try:
                        right = executor.submit(square, 5).result(20) == 25
                    except retinue.PoolClosed:  # the start was over
                        right = i != 0
                    executor.shutdown()
                    os._exit(0 if right else 1)
                assert wait_for(child) == 0
                starter.join()
                executor.shutdown()
        else:
            time.sleep(1)
        """, tmp_path=tmp_path)  # fmt: skip


def test_children_that_are_forked_while_callbacks_begin_end(tmp_path):
    # A thread of the engine's that comes to Python must not be at work on the interpreter's list of threads then.
    run("""
        if __name__ == "__main__":
            executors = [ProcessPoolExecutor(1) for _ in range(3)]
            called = []
            for i in range(800):
                for executor in executors:
                    for j in range(4):
                        executor.submit(abs, j).add_done_callback(called.append)
                for _ in range(i * 37 % 1500):
                    pass
                child = os.fork()
                if child == 0:
                    os._exit(0)
                assert wait_for(child) == 0
            for executor in executors:
                executor.shutdown()
            assert len(called) == 800 * 12, len(called)
        """, tmp_path=tmp_path)  # fmt: skip


def test_a_pool_that_was_used_before_a_fork_says_in_the_child_whose_it_is(tmp_path):
    run("""
        if __name__ == "__main__":
            executor = ProcessPoolExecutor(2)
            assert executor.submit(square, 2).result() == 4
            pool = Pool(2)
            pending = executor.map(square, range(3))
            child = os.fork()
            if child == 0:
                for use in (lambda: executor.submit(square, 3), lambda: list(executor.map(square, [1])),
                            lambda: pool.apply(square, (3,)), lambda: pool.map(square, [3]), lambda: pool.map_async(square, [3]).get(5)):
                    try:
                        use()
                    except retinue.PoolClosed as error:
                        assert "another" in str(error) or "process that made it" in str(error), error
                    else:
                        os._exit(1)
                executor.shutdown()
                pool.close()
                pool.join()
                pool.terminate()
                with ProcessPoolExecutor(1) as own:
                    assert own.submit(square, 3).result() == 9
                sys.exit(0)
            assert wait_for(child) == 0
            assert list(pending) == [0, 1, 4]
            assert pool.map(square, [4]) == [16]
            pool.terminate()
        """, tmp_path=tmp_path)  # fmt: skip


@pytest.mark.parametrize("kind", ["with", "exit"])
def test_the_end_of_a_child_leaves_the_parents_pool_alone(kind, tmp_path):
    run("""
        if __name__ == "__main__":
            executor = ProcessPoolExecutor(2)
            future = executor.submit(time.sleep, 0.3)
            child = os.fork()
            if child == 0:
                if sys.argv[2] == "with":
                    with executor:
                        sys.exit(0)
                del executor, future
                sys.exit(0)
            assert wait_for(child) == 0
            assert future.result(30) is None
            assert executor.submit(square, 2).result(30) == 4
        """, kind, tmp_path=tmp_path)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_task_that_uses_its_own_executor_gets_an_answer_or_a_clear_error(method, tmp_path):
    run("""
        executor = ProcessPoolExecutor(2, CONTEXT)

        def outer(x):
            return executor.submit(abs, x).result(timeout=20)

        def outer_map(x):
            return list(executor.map(abs, [x]))[0]

        class Holder:
            def __init__(self, pool):
                self.pool = pool
            def use(self, x):
                return self.pool.submit(abs, x).result(timeout=20)

        def closure(pool):
            return lambda x: pool.submit(abs, x).result(timeout=20)

        if __name__ == "__main__":
            for temperature in ("cold", "warm"):
                for task in (outer, outer_map, lambda x: outer(x), Holder(executor).use, closure(executor)):
                    try:
                        assert executor.submit(task, -1).result(timeout=30) == 1
                    except retinue.PoolClosed as error:
                        assert "make another pool" in str(error), error
                    except retinue.PicklingError as error:
                        assert "stays in the process that made it" in str(error), error
            executor.shutdown()
        """, method=method, tmp_path=tmp_path)  # fmt: skip


def test_an_initializer_that_uses_its_own_pool_gets_a_clear_error(tmp_path):
    run("""
        class Mine(Pool):
            def __init__(self, *args):
                global pool
                pool = self
                super().__init__(*args)

        def begin():
            pool.apply(abs, (1,))

        def begin_executor():
            executor.submit(abs, 1).result(20)

        if __name__ == "__main__":
            executor = ProcessPoolExecutor(1, initializer=begin_executor)
            try:
                executor.submit(abs, 1).result(30)
                raise SystemExit("an answer")
            except retinue.PoolClosed as error:
                assert "make another pool" in str(error), error
            try:
                Mine(1, begin).apply(abs, (1,))
                raise SystemExit("an answer")
            except retinue.PoolClosed as error:
                assert "make another pool" in str(error), error
        """, tmp_path=tmp_path)  # fmt: skip


@pytest.mark.parametrize("place", ["callback", "map_async", "initializer", "error_callback"])
def test_a_child_forked_in_a_callback_that_returns_from_it_ends(place, tmp_path):
    run("""
        def fork(*_):
            pid = os.fork()
            with open(sys.argv[2] + f"/{os.getpid()}", "w") as file:
                file.write(str(pid))

        def children():  # once their names are written
            end = time.monotonic() + 20
            while time.monotonic() < end:
                pids = [int(name) for name in os.listdir(sys.argv[2])]
                texts = [open(sys.argv[2] + f"/{pid}").read() for pid in pids]
                if "0" in texts and all(texts):
                    return [pid for pid, text in zip(pids, texts) if text == "0"]
                time.sleep(0.01)
            raise SystemExit("nobody has forked")

        def is_there(pid):
            try:
                return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                return False

        if __name__ == "__main__":
            place = sys.argv[3]
            with ProcessPoolExecutor(1, initializer=fork if place == "initializer" else None) as executor, Pool(1) as pool:
                future = executor.submit(abs, -1)
                if place == "callback":
                    future.add_done_callback(fork)
                if place == "map_async":
                    pool.map_async(abs, [1], callback=fork)
                if place == "error_callback":
                    pool.apply_async(int, ("x",), error_callback=fork)
                assert future.result(30) == 1
                found = children()
                end = time.monotonic() + 20
                while any(is_there(pid) for pid in found) and time.monotonic() < end:
                    time.sleep(0.01)
                assert not any(is_there(pid) for pid in found), place
                assert list(executor.map(abs, range(-200, 0))) == list(range(200, 0, -1))
                assert pool.map(abs, [-1]) == [1]
        """, str(folder_in(tmp_path)), place, tmp_path=tmp_path)  # fmt: skip


def test_a_fork_while_another_thread_imports_what_a_start_needs_leaves_no_module_locked(tmp_path):
    # Each time in a fresh interpreter, for a module is imported once.
    for delay in (0.001, 0.003, 0.006, 0.01, 0.015, 0.02):
        run(f"""
            if __name__ == "__main__":
                executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
                starter = threading.Thread(target=executor.submit, args=(square, 1))
                starter.start()
                time.sleep({delay})
                child = os.fork()
                if child == 0:
                    try:
                        right = executor.submit(square, 5).result(20) == 25
                    except retinue.PoolClosed:  # the start was over
                        right = True
                    executor.shutdown()
                    os._exit(0 if right else 1)
                assert wait_for(child) == 0
                starter.join()
                executor.shutdown()
            """, tmp_path=tmp_path)  # fmt: skip

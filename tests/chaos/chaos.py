"""Chaos for the Python package: random tasks, through every door, while their processes are killed, stopped and starved.

Each outcome is compared with what the task gives when it is run serially; an error is right only where something was done
that explains it, to that very process. After each round, what the owner holds is counted: processes, descriptors, threads,
mappings, shared memory, objects.

All is drawn from a seed, a round from the seed and its number, so a failure can be repeated; when what happens when is
again up to the scheduler. Without --seed, RETINUE_TEST_SEED gives it, or else it is a fresh one.

The time of day jumps by replacing time.time, in the owner and in workers, as the clock of the machine is not for tests to
set. The owner as a whole is stopped and goes on, so that time jumps for it. Where the system permits it, half of the seeds
run in a time namespace, whose monotonic clock is years ahead.
"""

import argparse
import faulthandler
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
import traceback

import watch


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="what all is drawn from")
    parser.add_argument("--seconds", type=float, help="how long; 20 if neither --tasks nor --rounds is given")
    parser.add_argument("--tasks", type=int, default=0, help="go on until so many tasks were judged")
    parser.add_argument("--kills", type=int, default=0, help="go on until so many workers were killed; kills in each round")
    parser.add_argument("--rounds", type=int, help="so many rounds")
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--repeat", type=int, default=1, help="each round so many times, to meet another order of events")
    parser.add_argument("--only", default="", metavar="NAMES", help="of each group these only, see --list; with commas")
    parser.add_argument("--without", default="", metavar="NAMES", help="without these")
    parser.add_argument("--list", action="store_true", help="all names")
    parser.add_argument("--verbose", action="store_true", help="a line for each round")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first failure")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int(os.environ.get("RETINUE_TEST_SEED") or random.SystemRandom().randrange(10**6))
    if options.seconds is None and not (options.tasks or options.kills or options.rounds):
        options.seconds = 20.0
    return options


def names(text):
    return tuple(name for name in text.split(",") if name)


class Sums:
    """What all rounds together have seen."""

    def __init__(self):
        self.begin = time.monotonic()
        self.rounds = self.tasks = 0
        self.done = {}
        self.excused = {}

    def add(self, judge, done):
        self.rounds += 1
        self.tasks += judge.judged
        for sums, more in ((self.done, done), (self.excused, judge.excused)):
            for name, count in more.items():
                sums[name] = sums.get(name, 0) + count

    def __str__(self):
        done = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        excused = ", ".join(f"{count} {name}" for name, count in sorted(self.excused.items()))
        return (
            f"{self.rounds} rounds, {self.tasks} tasks in {time.monotonic() - self.begin:.0f} s; done: {done or 'nothing'}; "
            f"not as in the serial run, with reason: {excused or 'none'}"
        )


def repeat_command(options, number):
    words = [sys.executable, sys.argv[0], f"--seed {options.seed}", f"--first {number}", "--rounds 1 --repeat 20 --verbose"]
    words += [f"--{name} {value}" for name in ("only", "without", "kills") if (value := getattr(options, name))]
    return " ".join(words)


def run(options, report):
    import census
    import rounds
    from plan import Draw

    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    signal.signal(signal.SIGALRM, lambda *_: None)
    sys.unraisablehook = threading.excepthook = lambda _: None  # tasks, callbacks and __del__ raise on purpose
    logging.getLogger("concurrent.futures").setLevel(logging.CRITICAL + 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    census.adopt_orphans()

    draw = Draw(options.seed, names(options.only), names(options.without), kill_every=options.kills or None)
    warm_up(draw, rounds, report)
    before = census.Census()
    sums = Sums()
    shown = time.monotonic()
    number, failed = options.first, False
    while not over(options, sums, number):
        for _ in range(options.repeat):
            plan = draw.round(number)
            report(f"round {number}: {plan}")
            if options.verbose:
                print(f"{number}: {plan}", flush=True)
            failures = one_round(rounds.Round(plan, each_second(report, f"round {number}: {plan}")), sums)
            failures += [f"left behind: {words}" for words in before.complaints(5 * rounds.FACTOR)]
            if failures:
                failed = True
                print(f"chaos: round {number} of seed {options.seed} went wrong: {plan}")
                for failure in failures[:8]:
                    print("  " + failure.replace("\n", "\n    "))
                print(f"  ({len(failures)} failures) repeat it by:\n  {repeat_command(options, number)}", flush=True)
                if not options.keep_going:
                    return 1
                before = census.Census()
        number += 1
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            print(f"chaos: seed {options.seed}: {sums}", flush=True)
    print(f"chaos: seed {options.seed}: {sums}; mappings {before.before['mappings']}, at most {before.most_mappings}; "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB at most", flush=True)  # fmt: skip
    return 1 if failed else 0


def each_second(report, words):
    """On a machine that is busy enough a round takes longer than silence is borne, though it moves."""
    reported = time.monotonic()

    def moved():
        nonlocal reported
        if time.monotonic() - reported > 1:
            reported = time.monotonic()
            report(words)

    return moved


def one_round(it, sums):
    try:
        judge = it.run()
    except BaseException as error:
        return ["the round raised: " + "".join(traceback.format_exception(error))]
    sums.add(judge, judge.done)
    return judge.failures


def warm_up(draw, rounds, report):
    """What is made once and kept is there before the first census: modules, threads' stacks, the region."""
    calm = type(draw)(1, without=tuple(n for n in ("spawn", "forkserver", "kill-server")))
    for number in range(6):
        report(f"warm-up {number}")
        rounds.Round(calm.round(number)).run()


def over(options, sums, number):
    if options.rounds is not None:
        return number >= options.first + options.rounds
    if options.seconds is not None and time.monotonic() - sums.begin < options.seconds:
        return False
    return sums.tasks >= options.tasks and sums.done.get("kill", 0) >= options.kills


def main():
    options = arguments()
    if options.list:
        from plan import names as all_names

        for group, listed in all_names().items():
            print(f"{group}: {' '.join(listed)}")
        return 0
    print(f"chaos: seed {options.seed}", flush=True)
    without = names(options.without)
    if options.seed % 2 and "other-time" not in without:
        watch.enter_other_time(10**8)
    patience = 40.0 * float(os.environ.get("RETINUE_TEST_TIME_FACTOR", "1"))
    return watch.supervise(lambda report: run(options, report), options.seed, patience, "stop-owner" not in without)


if __name__ == "__main__":
    sys.exit(main())

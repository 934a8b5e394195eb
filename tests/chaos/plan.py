"""What a round does. It is drawn from the seed and the number of the round alone, so each can be repeated by itself."""

import random
from dataclasses import dataclass, field

import doors  # noqa: F401
import pool_doors  # noqa: F401
from tasks import KINDS
from visit import DOORS

# The mean time between two, and how likely it is that a round has them.
FAULTS = {
    "kill": ((0.015, 0.03, 0.08), 0.5),
    "stop": ((0.02, 0.05), 0.25),
    "stop-server": ((0.05,), 0.1),
    "kill-server": ((0.03, 0.1), 0.06),
    "shared-memory": ((0.02, 0.08), 0.12),
    "owner-descriptors": ((0.03,), 0.12),
    "jump": ((0.01, 0.05), 0.2),
    "signals": ((0.05,), 0.15),
    "collect": ((0.01,), 0.15),
    "owner-forks": ((0.02,), 0.1),
}
ENDINGS = {
    "shutdown": 8,  # all has been taken
    "shutdown-early": 2,  # by another thread, while tasks are submitted and taken
    "cancel-early": 2,
    "terminate-early": 2,
    "leave": 1,  # nobody ends it: it is dropped
    "break": 1,  # it ends with the first worker that dies
}
METHODS = {"fork": 20, "spawn": 1, "forkserver": 1}
INITIALIZERS = {"works": 8, "none": 8, "memory": 3, "descriptors": 3, "sometimes": 2, "raises": 0.5, "exits": 0.5}
CLASSES = {"executor": 3, "pool": 2}


@dataclass
class Share:
    """What one thread of the owner does."""

    seed: int
    visits: list = field(default_factory=list)  # (door, [(kind, seed, counted)])


@dataclass
class Plan:
    number: int
    seed: int
    cls: str
    workers: int
    method: str
    max_tasks: int | None
    initializer: str
    faults: dict
    ending: str
    ends_after: float
    quick_switches: bool
    shares: list

    @property
    def tasks(self):
        return sum(len(tasks) for share in self.shares for _, tasks in share.visits)

    @property
    def terminates(self):
        """That its pool is ended at once, which runs nothing again."""
        return self.ending.startswith("terminate") or (self.cls == "pool" and not self.ending.startswith("shutdown"))

    @property
    def may_break(self):
        return self.ending == "break"

    def __str__(self):
        ways = sorted({door for share in self.shares for door, _ in share.visits})
        return (
            f"{self.cls} of {self.workers} by {self.method}, max tasks {self.max_tasks}, initializer {self.initializer}, "
            f"{len(self.shares)} threads, {self.tasks} tasks by {' '.join(ways)}; "
            f"{' '.join(self.faults) or 'no faults'}; {self.ending}"
        )


def names():
    """All that --only and --without can name, by group."""
    return {
        "tasks": list(KINDS),
        "doors": list(DOORS),
        "faults": list(FAULTS),
        "endings": list(ENDINGS),
        "start methods": list(METHODS),
        "initializers": list(INITIALIZERS),
        "classes": list(CLASSES),
    }


class Draw:
    """Draws rounds. `only` restricts each group that it names something of; `without` takes away."""

    def __init__(self, seed, only=(), without=(), kill_every=None):
        self._seed = seed
        self._kill_every = kill_every
        self._allowed = {}
        for group, all_of_it in names().items():
            named = [n for n in all_of_it if n in only]
            self._allowed[group] = [n for n in named or all_of_it if n not in without]
        self._only = only
        for group, left in self._allowed.items():
            if not left and group != "faults":
                raise ValueError(f"nothing is left of the {group}")

    def _one(self, r, group, weights):
        left = self._allowed[group]
        return r.choices(left, [weights[n] for n in left])[0]

    def round(self, number):
        r = random.Random(f"{self._seed} {number}")
        cls = self._one(r, "classes", CLASSES)
        method = self._one(r, "start methods", METHODS)
        initializer = self._one(r, "initializers", INITIALIZERS)
        ending = self._one(r, "endings", ENDINGS)
        if cls == "pool" and (ending == "break" or initializer in ("raises", "exits")):
            ending, initializer = "shutdown", "works"  # options of executors
        faults = {}
        for name in self._allowed["faults"]:
            means, likely = FAULTS[name]
            mean, drawn = r.choice(means), r.random()
            if drawn < likely or name in self._only:
                faults[name] = mean
        if self._kill_every and "kill" in self._allowed["faults"]:
            faults["kill"] = 0.015
        if initializer in ("sometimes", "raises", "exits") or ending == "leave":
            faults.pop("kill-server", None)
        if method != "fork":  # a fresh interpreter imports modules when it first needs them
            faults.pop("owner-descriptors", None)
            initializer = "works" if initializer == "descriptors" else initializer
        plan = Plan(
            number=number,
            seed=r.getrandbits(32),
            cls=cls,
            workers=r.choice((1, 2, 2, 3, 4)),
            method=method,
            max_tasks=r.choice((None, None, None, 1, 5, 50)),
            initializer=initializer,
            faults=faults,
            ending=ending,
            ends_after=r.choice((0.0, 0.005, 0.05)),
            quick_switches=r.random() < 0.15,
            shares=[],
        )
        for _ in range(r.choice((1, 1, 2, 4, 8))):
            plan.shares.append(self._share(r, plan))
        return plan

    def _share(self, r, plan):
        share = Share(r.getrandbits(32))
        open_doors = [n for n in self._allowed["doors"] if plan.cls in DOORS[n][1]]
        if not open_doors:
            raise ValueError(f"none of these doors is one of the class {plan.cls}")
        for _ in range(r.choice((1, 1, 2))):
            door = r.choice(open_doors)
            count = 0 if door == "bulk" else r.choice((3, 15, 40))
            share.visits.append((door, [self._task(r, plan, door) for _ in range(count)]))
        return share

    def _task(self, r, plan, door):
        limited = plan.initializer in ("memory", "descriptors")

        def fits(kind):
            return (
                (not kind.needs or kind.needs == plan.initializer)
                and not (kind.unlimited and (limited or "shared-memory" in plan.faults))
                and not (kind.alone and door not in BY_THEMSELVES)
                and not (kind.name == "runs-too-long" and plan.ending == "leave")
            )

        fitting = [KINDS[n] for n in self._allowed["tasks"] if fits(KINDS[n])] or [KINDS["arithmetic"]]
        kind = r.choices(fitting, [k.weight for k in fitting])[0]
        return kind.name, r.getrandbits(32), not kind.alone and r.random() < 0.5


BY_THEMSELVES = ("submit-all", "callbacks", "one-by-one", "waited-for")

"""A case: one image, one engine, one link; its ways taken in turn, another one first in each round."""

import statistics
import sys
import time
from dataclasses import dataclass, field

from . import measure, ways
from .stage import Stage

MEMORY_ROUNDS = 2  # the first ones: looking takes a twentieth of a core


@dataclass(frozen=True)
class Case:
    image: str
    engine: str
    link: str = "open"
    ways: tuple = tuple(ways.WAYS)

    @property
    def key(self):
        return self.image, self.engine, self.link


@dataclass
class Result:
    """What the rounds of a case cost, by way, and what they were measured on."""

    case: Case
    engine: str
    layers: int
    size_bytes: int
    costs: dict[str, list[measure.Cost]]
    served: dict[str, set] = field(default_factory=dict)
    fallbacks: dict[str, list[str]] = field(default_factory=dict)

    def median(self, way: str, what: str) -> float:
        return statistics.median(getattr(cost, what) for cost in self.costs[way])

    def highest(self, way: str, what: str) -> int:
        return max(getattr(cost, what) for cost in self.costs[way])

    def ratio(self, way: str, what: str = "wall", base: str = ways.BASE) -> float | None:
        """The median of the rounds' ratios; None where the base was not taken or cost nothing measurable."""
        if base not in self.costs or way not in self.costs:
            return None
        pairs = list(zip(self.costs[way], self.costs[base], strict=True))
        if not all(getattr(b, what) for _, b in pairs):
            return None
        return statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)


def say(text):
    print(text, file=sys.stderr, flush=True)


def play(case: Case, number_of_rounds: int, berth: str) -> Result:
    taken = ways.available(berth, case.engine, case.image, case.link, case.ways)
    names = [way.name for way in taken]
    say(f"{' '.join(case.key)}: {', '.join(names)}")
    with Stage(*case.key, berth, podman="podman pull" in names) as stage:
        result = Result(
            case, stage.engine_name, len(stage.image.layers), stage.image.size_bytes, {name: [] for name in names}
        )
        for number in range(number_of_rounds):
            shift = number % len(taken)
            for way in taken[shift:] + taken[:shift]:
                _take(way, stage, result, number)
    return result


def _take(way, stage, result, number):
    program = stage.berth if way.berth and number < MEMORY_ROUNDS else None
    before = measure.used_bytes(stage.data)
    began = time.monotonic()
    done = measure.timed(lambda **popen: way.start(stage, **popen), way.engine(stage), stage.data, program)
    result.costs[way.name].append(done.cost)
    if way.berth:
        served = way.check(stage, done, thorough=number == 0)
        result.served.setdefault(way.name, set()).add(served.path)
        result.fallbacks.setdefault(way.name, []).extend(served.fallbacks)
    way.clean(stage)
    stage.wait_until_settled(before)
    rest = time.monotonic() - began - done.cost.wall
    say(f"  {way.name}: {done.cost.wall:.2f} s, CPU {done.cost.cpu:.2f} s; and {rest:.1f} s to check and clean")

"""What berth has to reach, as ratios: the figures the project has set itself."""

from dataclasses import dataclass

from .presets import BERTH, CLASSIC, CONTAINERD, DOCKER, FAST_LOAD, FLOOR, NO_BACKFILL, TEE

MIB = 1 << 20
MEMORY_LIMIT = 96


@dataclass(frozen=True)
class Check:
    text: str
    image: str
    engine: str
    way: str
    limit: float
    link: str = "open"
    what: str = "wall"
    base: str = DOCKER


CHECKS = (
    Check("1.2 GB image, containerd store, --backfill=no", "big", CONTAINERD, NO_BACKFILL, 0.18),
    Check("the same, against the floor", "big", CONTAINERD, NO_BACKFILL, 1.1, base=FLOOR),
    Check("the same, total CPU", "big", CONTAINERD, NO_BACKFILL, 0.25, what="cpu"),
    Check("1.2 GB image, containerd store, backfill included", "big", CONTAINERD, BERTH, 0.40),
    Check("the same, --backfill=tee", "big", CONTAINERD, TEE, 0.40),
    Check("1.2 GB image as zstd, --backfill=no", "bigzstd", CONTAINERD, NO_BACKFILL, 0.27),
    Check("one gzip layer of 380 MB, --backfill=no", "onelayer", CONTAINERD, NO_BACKFILL, 0.20),
    Check("the same, 60 MB/s a connection", "onelayer", CONTAINERD, NO_BACKFILL, 0.35, link="60MBps"),
    Check("1.2 GB image, classic store", "big", CLASSIC, BERTH, 0.85),
    Check("the same, --fast-load", "big", CLASSIC, FAST_LOAD, 0.70),
    Check("125 tiny layers, containerd store, --backfill=no", "tiny125", CONTAINERD, NO_BACKFILL, 0.5),
    Check("the same, backfill included", "tiny125", CONTAINERD, BERTH, 0.5),
    Check("125 tiny layers, classic store", "tiny125", CLASSIC, BERTH, 0.5),
    Check("small image, containerd store, --backfill=no", "small", CONTAINERD, NO_BACKFILL, 0.9),
    Check("the same, backfill included", "small", CONTAINERD, BERTH, 0.9),
    Check("small image, classic store", "small", CLASSIC, BERTH, 0.9),
)


def table(results) -> list[str]:
    """Markdown lines: what was asked, what came out. Checks whose case was not played are left out."""
    by_key = {result.case.key: result for result in results}
    lines = ["| check | at most | measured | |", "|---|---|---|---|"]
    for check in CHECKS:
        result = by_key.get((check.image, check.engine, check.link))
        found = result and result.ratio(check.way, check.what, check.base)
        if found:
            lines.append(f"| {check.text} | {check.limit:.2f} × | {found:.2f} × | {_verdict(found <= check.limit)} |")
    peak = max(r.highest(way, "memory") for r in results for way in r.costs) / MIB
    verdict = _verdict(peak <= MEMORY_LIMIT)
    lines.append(f"| memory of berth and its workers, highest | {MEMORY_LIMIT} MiB | {peak:.0f} MiB | {verdict} |")
    count = len(fallbacks(results))
    lines.append(f"| fallbacks and warnings | 0 | {count} | {_verdict(count == 0)} |")
    return lines


def fallbacks(results) -> list[str]:
    """What went another way than it should have, a line each."""
    return [
        f"{' '.join(result.case.key)}: {way}: {line}"
        for result in results
        for way, lines in result.fallbacks.items()
        for line in lines
    ]


def _verdict(good):
    return "reached" if good else "**missed**"

"""Which cases a run has."""

from .rounds import Case

ENGINES = ("docker20", "docker26", "docker26c", "docker28c")
IMAGES = ("big", "bigzstd", "onelayer", "tiny125", "buildx", "small")
THROTTLED = ("big", "onelayer")  # what a link makes a difference to

# What tables call them.
TITLES = {
    "big": "1.2 GB, 62,000 files, five gzip layers",
    "bigzstd": "1.2 GB, 62,000 files, five zstd layers",
    "onelayer": "1.2 GB, 62,000 files, one gzip layer",
    "tiny125": "125 tiny layers",
    "buildx": "small: an index with attestations",
    "small": "small: 2 MB, one layer",
    "quickstart": "330 MB, 15,000 files, six gzip layers",
}

DOCKER, BERTH, NO_BACKFILL = "docker pull", "berth pull", "berth pull --backfill=no"
TEE, FAST_LOAD, FLOOR = "berth pull --backfill=tee", "berth pull --fast-load", "floor"

CLASSIC, CONTAINERD = "docker20", "docker26c"

# Just what checks.py looks at.
DONE = (
    Case("big", CONTAINERD, ways=(DOCKER, NO_BACKFILL, BERTH, TEE, FLOOR)),
    Case("bigzstd", CONTAINERD, ways=(DOCKER, NO_BACKFILL)),
    Case("onelayer", CONTAINERD, ways=(DOCKER, NO_BACKFILL)),
    Case("onelayer", CONTAINERD, "60MBps", ways=(DOCKER, NO_BACKFILL)),
    Case("big", CLASSIC, ways=(DOCKER, BERTH, FAST_LOAD)),
    Case("tiny125", CONTAINERD, ways=(DOCKER, NO_BACKFILL, BERTH)),
    Case("tiny125", CLASSIC, ways=(DOCKER, BERTH)),
    Case("small", CONTAINERD, ways=(DOCKER, NO_BACKFILL, BERTH)),
    Case("small", CLASSIC, ways=(DOCKER, BERTH)),
)

# Docker 20.10, which needs no root file system of its own.
SMOKE = (Case("small", CLASSIC, ways=(DOCKER, BERTH, FLOOR)),)


def title(image: str) -> str:
    return TITLES.get(image.partition(":")[0], image)


def matrix(images, engines, links, ways) -> tuple[Case, ...]:
    """All of these with each other, but for what cannot be or would show nothing."""
    found = []
    for engine in engines:
        for link in links:
            for image in images:
                zstd = image.partition(":")[0] in ("bigzstd", "zstd")
                if (zstd and engine == "docker20") or (link != "open" and image not in THROTTLED and len(images) > 1):
                    continue
                found.append(Case(image, engine, link, tuple(ways)))
    return tuple(found)

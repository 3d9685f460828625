"""Results as Markdown and JSON."""

import json
from pathlib import Path

from . import checks, host, links, presets, ways

MIB = 1 << 20
HEAD = (
    "| image, engine, link | by | seconds | ÷ docker pull | CPU s | ÷ docker pull "
    "| memory MiB | grown MiB | served by |"
)
NOTES = """\
Medians; ratios are medians of the rounds' ratios. CPU is client, workers and engine together. Memory is the highest
sum of PSS of berth and its workers. Grown is the most by which the tmpfs with all data was fuller than before. The
floor is `igzip -dc | tar -x` (or `zstd -dc`) of the layers, as many at once as there are cores: nothing is fetched,
verified or stored as an image.\
"""


def origin(rounds: int, version: str) -> str:
    """When, where and on what."""
    return (
        f"{host.today()}, {version}, {host.describe()}; {rounds} alternating round{'s' if rounds > 1 else ''}, "
        f"data on tmpfs, registry on loopback, {host.helpers()}"
    )


def table(results) -> list[str]:
    lines = [HEAD, "|---|---|--:|--:|--:|--:|--:|--:|---|"]
    for result in results:
        what = f"{presets.title(result.case.image)}<br>{result.engine}<br>{links.LINKS[result.case.link][0]}"
        for name in result.costs:
            lines.append(f"| {what} | {' | '.join(_cells(result, name))} |")
            what = ""
    return lines


def _cells(result, name):
    def ratio(what):
        found = None if name == ways.BASE else result.ratio(name, what)
        return f"{found:.2f}" if found else ""

    memory = result.highest(name, "memory")
    return (
        f"**{name}**" if name.startswith("berth") else name,
        f"{result.median(name, 'wall'):.2f}",
        ratio("wall"),
        f"{result.median(name, 'cpu'):.2f}",
        ratio("cpu"),
        f"{memory / MIB:.0f}" if memory else "",
        f"{result.median(name, 'grown') / MIB:.0f}",
        _served(result, name),
    )


def _served(result, name):
    path = ", ".join(sorted(result.served.get(name, ())))
    count = len(result.fallbacks.get(name, ()))
    return f"{path} ({count} fallbacks)" if count else path


def markdown(results, rounds: int, version: str, with_checks: bool) -> str:
    lines = [f"{origin(rounds, version)}.", "", *table(results), "", NOTES]
    if with_checks:
        lines += ["", *checks.table(results)]
    bad = checks.fallbacks(results)
    if bad:
        lines += ["", "Fallbacks and warnings:", "", *(f"- {line}" for line in bad)]
    return "\n".join(lines) + "\n"


def raw(results, rounds: int, version: str) -> str:
    """Every round."""
    document = {
        "origin": origin(rounds, version),
        "cases": [
            {
                "image": result.case.image,
                "engine": result.engine,
                "link": result.case.link,
                "layers": result.layers,
                "compressed_bytes": result.size_bytes,
                "ways": {name: [cost.as_dict() for cost in costs] for name, costs in result.costs.items()},
                "fallbacks": result.fallbacks,
            }
            for result in results
        ],
    }
    return json.dumps(document, indent=1) + "\n"


BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"


def publish(readme: Path, text: str):
    """Put the text between README's marks, in place of what is there."""
    whole = readme.read_text()
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme}: no {BEGIN.strip()} and {END.strip()}")
    readme.write_text(f"{before}{BEGIN}{text}{END}{after}")

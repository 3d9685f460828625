"""Results as an SVG bar chart that can be read on a white and on a dark page."""

from html import escape

from . import links, presets, ways

WIDTH, LEFT, RIGHT = 860, 190, 130
BAR, GAP, CASE_GAP, TITLE = 16, 5, 22, 20
TOP, BOTTOM = 46, 18
LONGEST = 1.6  # times docker pull: longer bars are cut

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.head { font-size: 15px; font-weight: 600; }
.faint { fill: #59636e; }
.berth { fill: #1a7f5a; }
.docker { fill: #4078c0; }
.other { fill: #9aa4af; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.faint { fill: #9198a1; }
.berth { fill: #3fb983; }
.docker { fill: #5b9be6; }
.other { fill: #6e7681; }
}
"""


def svg(results, origin: str) -> str:
    y, parts, unit = TOP, [], _unit(results)
    for result in results:
        parts += _case(result, y, unit)
        y += _height(result)
    height = y + BOTTOM
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img">',
        "<title>Time to get an image, by program</title>",
        f"<style>{STYLE}</style>",
        _text(0, 16, "Time to get an image into the engine; docker pull = 1, shorter is better", "head"),
    ]
    return "\n".join([*head, *parts, _text(0, height - 4, origin, "faint"), "</svg>"]) + "\n"


def _unit(results):
    """How long docker pull's bar is."""
    ratios = [result.ratio(name) or 1 for result in results for name in result.costs]
    return (WIDTH - LEFT - RIGHT) / min(max(ratios), LONGEST)


def _height(result):
    return TITLE + len(result.costs) * (BAR + GAP) + CASE_GAP


def _case(result, y, unit):
    link = links.LINKS[result.case.link][0]
    yield _text(0, y + 12, f"{presets.title(result.case.image)} · {result.engine} · {link}", "title")
    y += TITLE
    for name in result.costs:
        seconds = result.median(name, "wall")
        ratio = result.ratio(name) or 1.0
        width = unit * min(ratio, LONGEST)
        kind = "berth" if name.startswith("berth") else "docker" if name == ways.BASE else "other"
        label = f"{seconds:.2f} s" + ("" if name == ways.BASE else f" · {ratio:.2f}")
        yield _text(LEFT - 8, y + 12, name, anchor="end")
        yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" rx="2"/>'
        yield _text(LEFT + width + 6, y + 12, label)
        y += BAR + GAP


def _text(x, y, text, kind="", anchor="start"):
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{name} text-anchor="{anchor}">{escape(text)}</text>'

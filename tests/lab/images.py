"""The lab's images: made once into the cache, read back, pushed to registries.

A name is RECIPE or RECIPE:TAG; `labctl images` lists them.
"""

import hashlib
import importlib
import inspect
import subprocess
import time
from pathlib import Path

from . import oci, paths, recipes_odd
from .paths import CACHE, LabError

# recipe: module, function in it (called with an oci.Layout), tags it makes (the default first),
# recipes it is made from
RECIPES = {
    "small": ("recipes_small", "small", ("latest",), ()),
    "webapp": ("recipes_small", "webapp", ("v1", "v2", "health"), ()),
    "steady": ("recipes_steady", "steady", ("v1", "v2"), ("small",)),
    "buildx": ("recipes_variants", "buildx", ("latest", "single"), ("webapp",)),
    "schema2": ("recipes_variants", "schema2", ("latest", "list"), ("webapp",)),
    "tiny125": ("recipes_variants", "tiny125", ("latest",), ("webapp",)),
    "odd": ("recipes_odd", "odd", recipes_odd.TAGS, ("small",)),
    "quickstart": ("recipes_debian", "quickstart", ("v1", "v2", "health"), ()),
    "zstd": ("recipes_variants", "zstd", ("webapp", "quickstart"), ("webapp", "quickstart")),
    "big": ("recipes_debian", "big", ("latest",), ()),
    "bigzstd": ("recipes_bench", "bigzstd", ("latest",), ("big",)),
    "onelayer": ("recipes_bench", "onelayer", ("latest",), ("big",)),
    "heavy": ("recipes_trials", "heavy", ("gzip", "zstd"), ("small",)),
    "mixed": ("recipes_trials", "mixed", ("latest",), ("small", "odd")),
}
BENCH = {"big", "bigzstd", "onelayer"}  # minutes to make: for benchmarks, which do


def names() -> list[str]:
    """Every image as RECIPE:TAG."""
    return [f"{recipe}:{tag}" for recipe, (_, _, tags, _) in RECIPES.items() for tag in tags]


def get(name: str) -> oci.Image:
    """The image of that name, made now if the cache lacks it."""
    recipe, _, tag = name.partition(":")
    return oci.read(layout(recipe), tag or RECIPES[recipe][2][0])


def layout(recipe: str) -> Path:
    """The OCI layout directory of a recipe, made now if the cache has none of its present text."""
    module_name, function, _, sources = RECIPES[recipe]
    module = importlib.import_module(f".{module_name}", __package__)
    text = [inspect.getsource(part) for part in (module, oci.Layout, oci.Tar)]
    text += [layout(source).name for source in sources]
    made = CACHE / "images" / f"{recipe}-{hashlib.sha256(''.join(text).encode()).hexdigest()[:12]}"
    if made.is_dir():
        return made
    with paths.lock(CACHE / "images" / f"{recipe}.lock"):
        if made.is_dir():
            return made
        making = made.with_suffix(".making")
        subprocess.run(["rm", "-rf", making, *made.parent.glob(f"{recipe}-*")], check=True)
        new = oci.Layout(making)
        getattr(module, function)(new)
        new.write()
        making.rename(made)
    return made


def push(name: str, registry, repository: str, tag: str | None = None) -> str:
    """Push an image into a lab.Registry with skopeo; the reference an engine pulls.

    Indexes go with everything they list, and every digest stays what it is in the layout.
    """
    return push_image(get(name), registry, repository, tag)


def push_image(image: oci.Image, registry, repository: str, tag: str | None = None) -> str:
    """The same for an image of any layout (oci.read())."""
    tag = tag or image.tag
    argv = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests"]
    if registry.user:
        argv.append(f"--dest-creds={registry.user}:{registry.password}")
    argv.append(f"--dest-tls-verify={'true' if registry.tls else 'false'}")
    reference = f"{registry.host}/{repository}:{tag}"
    # A home of its own: the layer locations skopeo remembers are of registries long gone.
    with paths.scratch() as home:
        (home / "image").mkdir()
        oci.as_directory(image, home / "image")
        registry.ns.check(
            [*argv, f"dir:{home / 'image'}", f"docker://{reference}"],
            env={"HOME": home, "XDG_RUNTIME_DIR": home},
            ca=registry.ca,
            timeout=300,
        )
    return reference


def make_all(recipes, report=print):
    """Make these recipes' images; for `labctl images`."""
    for recipe in recipes:
        start = time.monotonic()
        try:
            path = layout(recipe)
        except Exception as error:
            raise LabError(f"image {recipe}: {error}") from error
        took = time.monotonic() - start
        for tag in RECIPES[recipe][2]:
            image = oci.read(path, tag)
            report(f"{recipe}:{tag} {len(image.layers)} layers, {image.size_bytes >> 10} KiB")
        report(f"{recipe}: {took:.1f} s")

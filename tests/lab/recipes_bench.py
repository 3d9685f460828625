"""The big image in other shapes, for benchmarks: all of it in one layer, and with zstd layers."""

import subprocess

from . import images, oci, paths, rootfs


def onelayer(layout: oci.Layout):
    """All files of `big` as one gzip layer of 380 MB, which no two processes can share."""
    image = images.get("big")
    bundle = paths.data_root() / "making-onelayer"
    subprocess.run(["rm", "-rf", bundle], check=True)
    bundle.parent.mkdir(parents=True, exist_ok=True)
    try:
        paths.check(["umoci", "unpack", "--image", f"{image.layout}:{image.tag}", bundle])
        with rootfs.tar_stream(bundle / "rootfs") as stream:
            layer = layout.layer_from(stream, note="everything")
    finally:
        subprocess.run(["rm", "-rf", bundle], check=True)
    layout.tag("latest", layout.image([layer], image.config["config"]))


def bigzstd(layout: oci.Layout):
    """`big` with zstd layers."""
    image = images.get("big")
    layers = []
    for descriptor in image.layers:
        with oci.inflated(image.blob(descriptor["digest"])) as stream:
            layers.append(layout.layer_from(stream, "zstd"))
    layout.tag("latest", layout.image(layers, image.config["config"]))

"""The command line and files of Debian 12's podman as an engine: `podman system service`."""

import json


def program(engine) -> list[str]:
    """podman on the engine's own store; a command comes next."""
    return [
        "podman",
        *("--root", str(engine.data_dir / "storage")),
        *("--runroot", str(engine.run_dir / "run")),
        *("--cgroup-manager", "cgroupfs", "--events-backend", "file"),
        *("--storage-driver", "overlay"),
        *("--network-config-dir", str(engine.run_dir / "networks")),
    ]


def argv(engine) -> list[str]:
    service = ("system", "service", "--time=0", f"unix://{engine.socket}")
    return [*program(engine), *engine.args, *service]


def write_config(engine):
    run = engine.run_dir
    # crun refuses a machine with cgroup v1 and v2 both mounted. Raising limits above one's own
    # needs CAP_SYS_RESOURCE, which a lab in a container does not have.
    (run / "containers.conf").write_text(
        "[containers]\n"
        "default_ulimits = []\n"
        'cgroups = "enabled"\n'
        "[engine]\n"
        'runtime = "runc"\n'
        f'tmp_dir = "{run}/tmp"\n'
        "[network]\n"
        'network_backend = "cni"\n'
        f'default_subnet = "{_subnet(engine.bridge)}"\n'
    )
    places = sorted({"127.0.0.1", *engine.insecure, *engine.ns.plain})
    (run / "registries.conf").write_text(
        "".join(f'[[registry]]\nlocation = "{place}"\ninsecure = true\n' for place in places)
    )
    (run / "networks").mkdir()
    (run / "networks/87-podman.conflist").write_text(json.dumps(_network(engine), indent=1))


def _subnet(bridge: str) -> str:
    address, _, bits = bridge.partition("/")
    return f"{address.rpartition('.')[0]}.0/{bits}"


def _network(engine) -> dict:
    bridge = {
        "type": "bridge",
        "bridge": f"cni-{engine.bridge.split('.')[2]}",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(engine.run_dir / "ipam"),
            "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": _subnet(engine.bridge), "gateway": engine.bridge.split("/")[0]}]],
        },
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    plugins += [{"type": "firewall"}, {"type": "tuning"}]
    return {"cniVersion": "0.4.0", "name": "podman", "plugins": plugins}

"""The machine that figures come from, in a line or two."""

import datetime
import os
import re
import shutil
from pathlib import Path


def describe() -> str:
    cpu = re.search(r"^(?:model name|CPU part)\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    memory = int(re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text()).group(1)) / (1 << 20)
    model = cpu.group(1).strip() if cpu else os.uname().machine
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {os.uname().release}"


def today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")


def helpers() -> str:
    """What Docker 20.10 and podman, which run in the machine's own root, find to inflate gzip with."""
    return "Docker 20.10 has unpigz" if shutil.which("unpigz") else "no engine has unpigz"


def load() -> float:
    return os.getloadavg()[0]

"""Real engines, registries and images in network namespaces of their own. README.md tells how."""

from .engine import KINDS, Engine
from .namespace import Namespace
from .paths import LabError
from .registry import Registry

__all__ = ["KINDS", "Engine", "LabError", "Namespace", "Registry"]

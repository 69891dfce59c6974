"""Look before starting: is there room on this machine, in one clear sentence if not."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster.processes import command_of, listeners
from heliostat.errors import ClusterError
from heliostat.settings import PORT_BLOCK, Settings

MIN_PYTHON = (3, 11)
MIN_MEMORY_BYTES = 6 * 1024**3
MIN_DISK_BYTES = 5 * 1024**3
_LONGEST_COMMAND = 60


@dataclass(frozen=True, kw_only=True)
class BusyPort:
    """A port of ours that somebody else holds; `holder` is empty when the system does not tell."""

    port: int
    holder: str


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What matters of a machine, at one moment."""

    python_version: tuple[int, int]
    free_memory_bytes: int
    free_disk_bytes: int
    base_port: int
    busy_ports: tuple[BusyPort, ...] = ()


def problem(machine: Machine) -> str | None:
    """The first reason why a cluster cannot start on that machine, as one sentence, or None."""
    if machine.python_version < MIN_PYTHON:
        found = ".".join(map(str, machine.python_version))
        return f"Heliostat needs Python 3.11 or newer; this is Python {found}: run it with a newer one."
    if machine.free_memory_bytes < MIN_MEMORY_BYTES:
        return (
            f"Heliostat needs about {_gb(MIN_MEMORY_BYTES)} GB of free memory; "
            f"{_gb(machine.free_memory_bytes)} GB are free: close other programs or use a larger machine."
        )
    if machine.free_disk_bytes < MIN_DISK_BYTES:
        return (
            f"Heliostat needs about {_gb(MIN_DISK_BYTES)} GB of free disk; {_gb(machine.free_disk_bytes)} GB "
            "are free: make room, or set HELIOSTAT_HOME to a directory on a larger disk."
        )
    return _busy_port_problem(machine)


def require_room(settings: Settings) -> None:
    """Raise ClusterError with one sentence if a cluster cannot start here now."""
    sentence = problem(observe(settings))
    if sentence is not None:
        raise ClusterError(sentence)


def observe(settings: Settings) -> Machine:
    """What this machine is like now."""
    return Machine(
        python_version=(sys.version_info.major, sys.version_info.minor),
        free_memory_bytes=_free_memory_bytes(),
        free_disk_bytes=shutil.disk_usage(_existing_parent(settings.home)).free,
        base_port=settings.base_port,
        busy_ports=tuple(
            BusyPort(port=port, holder=_holder(pid))
            for port, pid in listeners(settings.base_port, settings.base_port + PORT_BLOCK - 1).items()
        ),
    )


def _busy_port_problem(machine: Machine) -> str | None:
    if not machine.busy_ports:
        return None
    first = machine.busy_ports[0]
    holder = f" by {first.holder}" if first.holder else ""
    num_others = len(machine.busy_ports) - 1
    others = f" (and {num_others} more of ours)" if num_others else ""
    last_port = machine.base_port + PORT_BLOCK - 1
    return (
        f"Port {first.port} is in use{holder}{others}, and Heliostat needs ports {machine.base_port} to "
        f"{last_port}: end that program, or choose other ports, such as HELIOSTAT_BASE_PORT="
        f"{_another_base_port(machine.base_port)}."
    )


def _another_base_port(base_port: int) -> int:
    return base_port + PORT_BLOCK if base_port < 30000 else 18000


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1024**3:.1f}".removesuffix(".0")


def _holder(pid: int | None) -> str:
    if pid is None:
        return ""
    command = command_of(pid)
    shown = command if len(command) <= _LONGEST_COMMAND else command[:_LONGEST_COMMAND] + "..."
    return f"process {pid} ({shown})"


def _free_memory_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    free_bytes = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    # In a container the machine's memory is not ours.
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        return min(free_bytes, int(limit.read_text()) - int(used.read_text()))
    return free_bytes


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())

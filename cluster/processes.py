"""Find the processes of one installation by the marker in their environment, and end only those (Linux)."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from cluster.environment import CLUSTER_ID_VARIABLE

_PROC = Path("/proc")
_POLL_S = 0.1


def cluster_pids(home: Path) -> list[int]:
    """Every living process that a cluster of this home directory started, orphans included."""
    return [pid for pid in _all_pids() if pid != os.getpid() and _is_marked(_environment(pid), home)]


def is_cluster_process(pid: int, *, cluster_id: str) -> bool:
    """True if that process is alive and belongs to that very cluster; a reused process id does not."""
    return f"{CLUSTER_ID_VARIABLE}={cluster_id}".encode() in _environment(pid)


def command_of(pid: int) -> str:
    """The command line of a process, or an empty string if it is gone or not ours to read."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def listeners(first_port: int, last_port: int) -> dict[int, int | None]:
    """The ports of that range on which somebody listens, and who: None where the system does not tell."""
    port_by_socket = {
        f"socket:[{inode}]": port for inode, port in _listening_sockets() if first_port <= port <= last_port
    }
    pid_by_port: dict[int, int | None] = dict.fromkeys(sorted(port_by_socket.values()))
    for pid in _all_pids() if port_by_socket else []:
        for socket_name in _open_files(pid) & port_by_socket.keys():
            pid_by_port[port_by_socket[socket_name]] = pid
    return pid_by_port


def end(pids: Iterable[int], *, grace_s: float) -> list[int]:
    """Ask each process to end, kill after `grace_s` what did not; returns the ones that had to be killed."""
    remaining = list(pids)
    _signal(remaining, signal.SIGTERM)
    remaining = wait_until_gone(remaining, timeout_s=grace_s)
    _signal(remaining, signal.SIGKILL)
    return remaining


def wait_until_gone(pids: Iterable[int], *, timeout_s: float) -> list[int]:
    """Wait until the processes have ended; returns those that have not."""
    deadline = time.monotonic() + timeout_s
    remaining = [pid for pid in pids if is_alive(pid)]
    while remaining and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        remaining = [pid for pid in remaining if is_alive(pid)]
    return remaining


def is_alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return bool(fields) and fields[0] not in (b"Z", b"X")


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it ended by itself in the meantime


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]


def _environment(pid: int) -> set[bytes]:
    return set(_read(pid, "environ").split(b"\0"))


def _is_marked(environment: set[bytes], home: Path) -> bool:
    marker = f"{CLUSTER_ID_VARIABLE}=".encode()
    # Both, because a test that runs inside one cluster may start another with a home of its own.
    return f"HELIOSTAT_HOME={home}".encode() in environment and any(e.startswith(marker) for e in environment)


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""  # it ended while we looked, or belongs to another user


def _open_files(pid: int) -> set[str]:
    try:
        entries = list((_PROC / str(pid) / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return set()
    return {_link(entry) for entry in entries}


def _link(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""  # closed in the meantime, as the listing of one's own files always is


def _listening_sockets() -> Iterator[tuple[str, int]]:
    # A port that only has connections fading out is free for a server; so the state decides, not a trial.
    listening_state = "0A"
    for table in (_PROC / "net" / "tcp", _PROC / "net" / "tcp6"):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == listening_state:
                yield fields[9], int(fields[1].rpartition(":")[2], 16)

"""Where things are: paths and ports, all derived from one home and one base port.

The only module that reads the environment.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from heliostat.errors import SettingsError

DEFAULT_BASE_PORT = 18000
PORT_BLOCK = 1000
HIGHEST_BASE_PORT = 31000  # the block must end below 32768, where Linux hands out ports by itself


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Every port that a cluster on this machine uses, each at a fixed distance from `base`."""

    base: int

    @property
    def http(self) -> int:
        """Serve's HTTP ingress: what callers use."""
        return self.base

    @property
    def grpc(self) -> int:
        """Serve's gRPC ingress."""
        return self.base + 1

    @property
    def dashboard(self) -> int:
        """The Ray dashboard and the job API."""
        return self.base + 2

    @property
    def gcs(self) -> int:
        """The address of the cluster."""
        return self.base + 3

    @property
    def ray_client(self) -> int:
        """Ray Client (`ray://`)."""
        return self.base + 4

    @property
    def metrics_export(self) -> int:
        """Prometheus metrics of the node."""
        return self.base + 5

    @property
    def agent_http(self) -> int:
        """The dashboard agent's HTTP port."""
        return self.base + 6

    @property
    def agent_grpc(self) -> int:
        """The dashboard agent's gRPC port."""
        return self.base + 7

    @property
    def runtime_env_agent(self) -> int:
        """The runtime environment agent."""
        return self.base + 8

    @property
    def node_manager(self) -> int:
        """The raylet's node manager."""
        return self.base + 9

    @property
    def object_manager(self) -> int:
        """The raylet's object manager."""
        return self.base + 10

    @property
    def haproxy_stats(self) -> int:
        """HAProxy's own statistics page."""
        return self.base + 11

    @property
    def haproxy_metrics(self) -> int:
        """HAProxy's own Prometheus metrics."""
        return self.base + 12

    @property
    def fallback_http(self) -> int:
        """The Python proxy behind HAProxy, HTTP."""
        return self.base + 13

    @property
    def fallback_grpc(self) -> int:
        """The Python proxy behind HAProxy, gRPC."""
        return self.base + 14

    @property
    def direct_http(self) -> tuple[int, int]:
        """First and last port of the replicas' own HTTP listeners."""
        return self.base + 100, self.base + 199

    @property
    def direct_grpc(self) -> tuple[int, int]:
        """First and last port of the replicas' own gRPC listeners."""
        return self.base + 200, self.base + 299

    @property
    def workers(self) -> tuple[int, int]:
        """First and last port of Ray's worker processes."""
        return self.base + 300, self.base + PORT_BLOCK - 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One installation: its home directory and its block of ports."""

    home: Path
    base_port: int = DEFAULT_BASE_PORT

    def __post_init__(self) -> None:
        if not self.home.is_absolute():
            raise SettingsError(f"HELIOSTAT_HOME must be an absolute path; got {str(self.home)!r}.")
        if not 1024 <= self.base_port <= HIGHEST_BASE_PORT:
            raise SettingsError(
                f"HELIOSTAT_BASE_PORT must lie between 1024 and {HIGHEST_BASE_PORT}, "
                f"because {PORT_BLOCK} ports are used from there; got {self.base_port}."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from HELIOSTAT_HOME and HELIOSTAT_BASE_PORT, or their defaults."""
        values = os.environ if environ is None else environ
        raw_port = values.get("HELIOSTAT_BASE_PORT", str(DEFAULT_BASE_PORT))
        if not raw_port.isdecimal():
            raise SettingsError(f"HELIOSTAT_BASE_PORT must be a port number; got {raw_port!r}.")
        home = values.get("HELIOSTAT_HOME", str(Path.home() / ".heliostat"))
        return cls(home=Path(home).expanduser(), base_port=int(raw_port))

    @property
    def ports(self) -> Ports:
        """The ports of this installation."""
        return Ports(base=self.base_port)

    @property
    def http_url(self) -> str:
        """The address that callers use."""
        return f"http://127.0.0.1:{self.ports.http}"

    @property
    def dashboard_url(self) -> str:
        """The address of the Ray dashboard and the job API."""
        return f"http://127.0.0.1:{self.ports.dashboard}"

    @property
    def ray_temp_dir(self) -> Path:
        """Ray's session files; short, because a Unix socket's name may have 107 bytes at most."""
        return Path(tempfile.gettempdir()) / f"heliostat-{os.getuid()}-{self.base_port}"

    @property
    def token_path(self) -> Path:
        """The Ray token: whoever reads it may run code on the cluster."""
        return self.home / "ray_token"

    @property
    def cluster_file(self) -> Path:
        """What `make run` started; there only while it is up."""
        return self.home / "cluster.json"

    @property
    def catalog_url(self) -> str:
        """The catalog's database, as SQLAlchemy names it."""
        return f"sqlite:///{self.home / 'catalog.sqlite'}"

    @property
    def lake_uri(self) -> str:
        """The root of every Delta table."""
        return str(self.home / "lake")

    @property
    def bundles_uri(self) -> str:
        """The root of every model bundle."""
        return str(self.home / "bundles")

    @property
    def segments_dir(self) -> Path:
        """Write-ahead segments of this node."""
        return self.home / "segments"

    @property
    def runs_dir(self) -> Path:
        """Ray Train's checkpoints and results."""
        return self.home / "runs"

    @property
    def results_dir(self) -> Path:
        """Reports and plots made for people."""
        return self.home / "results"

    @property
    def keys_dir(self) -> Path:
        """API keys that were made for the person who runs this installation, one file a role."""
        return self.home / "keys"

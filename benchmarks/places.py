"""Where the benchmark keeps what it needs: environments of peers, a home of its own, ports, results."""

from dataclasses import dataclass
from pathlib import Path

from heliostat.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DIRECTORY = ROOT / "build" / "bench-serving"
# Ours take 1,000 ports from the base on; a peer takes three of them while ours is down.
DEFAULT_BASE_PORT = 20500


@dataclass(frozen=True, kw_only=True)
class Places:
    """All paths and ports of one benchmark."""

    base_port: int

    def __post_init__(self) -> None:
        (DIRECTORY / "bodies").mkdir(parents=True, exist_ok=True)
        (DIRECTORY / "logs").mkdir(exist_ok=True)

    @property
    def settings(self) -> Settings:
        """The installation that the benchmark starts, with its own catalog and lake."""
        return Settings(home=DIRECTORY / "home", base_port=self.base_port)

    @property
    def bare_settings(self) -> Settings:
        """The cluster without Heliostat: the same ports, another home."""
        return Settings(home=DIRECTORY / "bare", base_port=self.base_port)

    @property
    def peer_port(self) -> int:
        """The port of the peer that is up; two more behind it."""
        return self.base_port + 990

    @property
    def results(self) -> Path:
        """What all runs measured, one JSON document a line."""
        return DIRECTORY / "results.jsonl"

    def peer(self, name: str) -> Path:
        """A peer's environment."""
        return DIRECTORY / "peers" / name

    def log(self, name: str) -> Path:
        """What a server printed last."""
        return DIRECTORY / "logs" / f"{name}.log"

    def body(self, name: str) -> Path:
        """The file of one request's body."""
        return DIRECTORY / "bodies" / name

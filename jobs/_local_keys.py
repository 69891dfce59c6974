"""Keys in files that only the person who runs this installation can read."""

from pathlib import Path

from heliostat.errors import ClusterError
from heliostat.settings import Settings


def read(settings: Settings, role: str) -> str:
    """The local key of a role; ClusterError when jobs.deploy has not made it yet."""
    try:
        return (settings.keys_dir / role).read_text().strip()
    except FileNotFoundError as error:
        raise ClusterError(f"There is no key for the role {role} in {settings.keys_dir}; run jobs.deploy.") from error


def keep(settings: Settings, name: str, key: str) -> Path:
    """The file that holds the key from now on."""
    settings.keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = settings.keys_dir / name
    # Renamed when whole: an empty file would look like a key for ever.
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(key + "\n")
    partial.replace(path)
    return path

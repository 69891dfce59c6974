"""The errors that Heliostat raises on purpose, drawn as a tree.

    HeliostatError
    ├── WorkloadError(ValueError)     a user's declaration is wrong: said before anything runs
    ├── ContractError(ValueError)     rows do not keep to the declared columns
    ├── SettingsError(ValueError)     an environment variable has a value that cannot be used
    ├── LakeError(RuntimeError)       a table could not be read or committed
    ├── CatalogError(RuntimeError)    the catalog refuses a change
    │   ├── NotFoundError             no such version, alias, run or key
    │   └── FencedError               the caller's lease is over: somebody else steers now
    ├── BundleError(RuntimeError)     a bundle is missing, incomplete or was altered
    ├── TrainingError(RuntimeError)   a fit cannot give a usable model
    ├── AccessError(PermissionError)  no key, or its role is too small
    └── ClusterError(RuntimeError)    Ray cannot be started, reached or stopped
        └── LostCallError             an actor was lost while it answered: it may have done it or not

Every error takes exactly one message, so that it survives pickling through Ray; the message says what
happened, what was found, and what to do next.
"""


class HeliostatError(Exception):
    """Base of every error that Heliostat raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class WorkloadError(HeliostatError, ValueError):
    """A user's declaration is wrong."""


class ContractError(HeliostatError, ValueError):
    """Rows do not keep to the declared columns."""


class SettingsError(HeliostatError, ValueError):
    """An environment variable has a value that cannot be used."""


class LakeError(HeliostatError, RuntimeError):
    """A table could not be read or committed."""


class CatalogError(HeliostatError, RuntimeError):
    """The catalog refuses a change."""


class NotFoundError(CatalogError):
    """The catalog has no such version, alias, run or key."""


class FencedError(CatalogError):
    """The caller's lease is over: somebody else holds it now."""


class BundleError(HeliostatError, RuntimeError):
    """A bundle is missing, incomplete or was altered."""


class TrainingError(HeliostatError, RuntimeError):
    """A fit cannot give a usable model."""


class AccessError(HeliostatError, PermissionError):
    """No key was given, it is unknown, or its role is too small."""


class ClusterError(HeliostatError, RuntimeError):
    """Ray cannot be started, reached or stopped."""


class LostCallError(ClusterError):
    """An actor was lost while it answered: it may have done what was asked, or not."""

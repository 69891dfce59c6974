"""The catalog as an actor: the truth about versions, aliases, runs, keys, and the journal of every change.

Reads:  catalog
Writes: catalog; Serve's routing, as the catalog says it
"""

from typing import Any

from cluster import applications
from heliostat.errors import NotFoundError
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog


class CatalogActor(Catalog):
    """The one owner of the catalog, and therefore of the merged Serve declaration that follows from it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.catalog_url)
        self._settings = settings
        self.create()

    def publish(self) -> None:
        """Serve works towards exactly what the catalog says: every application with its route and keys.

        Calls are served one after the other, so that the last declaration is always the newest. Does not wait for
        the replicas: `cluster.applications.wait_until_running` does.
        """
        declared = [self._with_route(each.workload, dict(each.config)) for each in self.applications()]
        applications.apply(self._settings, declared)

    def _with_route(self, workload: str, config: dict[str, Any]) -> dict[str, Any]:
        try:
            (deployment,) = config["deployments"]
        except (KeyError, ValueError) as error:
            raise NotFoundError(
                f"The application of {workload!r} must declare exactly one deployment; got {config}. Run jobs.deploy."
            ) from error
        return config | {"deployments": [deployment | {"user_config": self.serving_record(workload)}]}

    def serving_record(self, workload: str) -> dict[str, Any]:
        """What every replica must know: the route, where its versions lie, and the keys that count."""
        route = self.route(workload)
        numbers = {route["champion"], route["candidate"], route["previous"]} - {None}
        bundles = {}
        for number in sorted(numbers):
            version = self.version(workload, number)
            bundles[str(number)] = {"uri": version.bundle_uri, "hash": version.bundle_hash}
        keys = [key.to_json() for key in self.keys() if key.workload in (None, workload)]
        return {**route, "bundles": bundles, "keys": keys}

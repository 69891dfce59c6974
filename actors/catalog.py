"""The catalog as an actor: the truth about versions, aliases, runs, keys, and the journal of every change.

Reads:  catalog
Writes: catalog; Serve's routing, as the catalog says it
"""

from typing import Any

from cluster import applications, pooling
from heliostat.errors import NotFoundError
from heliostat.records import Application
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog


class CatalogActor(Catalog):
    """The one owner of the catalog, and therefore of the merged Serve declaration that follows from it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.catalog_url)
        self._settings = settings
        self.create()

    def publish(self) -> dict[str, str]:
        """Serve works towards exactly what the catalog says: every application with its routes and keys.

        Returns the name of the application that answers for each workload. Calls are served one after the other, so
        that the last declaration is always the newest. Does not wait for the replicas:
        `cluster.applications.wait_until_running` does.
        """
        wanted = self.applications()
        name_by_workload = {each.workload: each.config["name"] for each in wanted}
        members = [each for each in wanted if pooling.is_member(each)]
        declared = [self._with_route(each, name_by_workload) for each in wanted if each not in members]
        if members:
            declared.append(self._pool(members, name_by_workload))
        applications.apply(self._settings, declared)
        return name_by_workload

    def _pool(self, members: list[Application], name_by_workload: dict[str, str]) -> dict[str, Any]:
        routes = {
            each.workload: {**self._route_with_bundles(each.workload), **_asked(each, name_by_workload)}
            for each in members
        }
        return pooling.pooled(members, routes=routes, keys=[key.to_json() for key in self.keys()])

    def _with_route(self, declared: Application, name_by_workload: dict[str, str]) -> dict[str, Any]:
        workload = declared.workload
        config = {name: value for name, value in declared.config.items() if name not in pooling.OWN}
        try:
            (deployment,) = config["deployments"]
        except (KeyError, ValueError) as error:
            raise NotFoundError(
                f"The application of {workload!r} must declare exactly one deployment; got {config}. Run jobs.deploy."
            ) from error
        record = {**self.serving_record(workload), **_asked(declared, name_by_workload)}
        return config | {"deployments": [deployment | {"user_config": record}]}

    def issue_key(self, name: str, role: str, **given: Any) -> str:
        """The key as `create_key` makes it, on its way to the replicas."""
        plaintext = self.create_key(name, role, **given)
        self.publish()
        return plaintext

    def withdraw_key(self, key_id: str, **given: Any) -> None:
        """The key is revoked, and the replicas are being told."""
        self.revoke_key(key_id, **given)
        self.publish()

    def serving_record(self, workload: str) -> dict[str, Any]:
        """What every replica must know: the route, where its versions lie, and the keys that count."""
        keys = [key.to_json() for key in self.keys() if key.workload in (None, workload)]
        return {**self._route_with_bundles(workload), "keys": keys}

    def _route_with_bundles(self, workload: str) -> dict[str, Any]:
        route = self.route(workload)
        numbers = {route["champion"], route["candidate"], route["previous"]} - {None}
        bundles = {}
        for number in sorted(numbers):
            version = self.version(workload, number)
            bundles[str(number)] = {"uri": version.bundle_uri, "hash": version.bundle_hash}
        return {**route, "bundles": bundles}


def _asked(declared: Application, name_by_workload: dict[str, str]) -> dict[str, Any]:
    """Which application answers for each workload that this one asks."""
    asked = declared.config.get(pooling.ASKS, ())
    return {"applications": {name: name_by_workload[name] for name in asked if name in name_by_workload}}

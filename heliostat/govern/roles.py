"""Who may do what: four roles, each with all that the smaller ones may do."""

from enum import Enum, IntEnum

from heliostat.errors import AccessError


class Role(IntEnum):
    """What the holder of a key is; a larger role may do whatever a smaller one may."""

    VIEWER = 1
    CALLER = 2
    OPERATOR = 3
    ADMIN = 4

    @classmethod
    def parse(cls, name: str) -> "Role":
        """The role of that name, in small letters; AccessError names them all when there is none."""
        if name.upper() not in cls.__members__ or name != name.lower():
            raise AccessError(f"There is no role {name!r}; there are {', '.join(str(role) for role in cls)}.")
        return cls[name.upper()]

    def __str__(self) -> str:
        """The name in small letters, as `parse` reads it."""
        return self.name.lower()


class Action(Enum):
    """What can be asked of the program, each with the smallest role that may."""

    READ_STATUS = ("read the status", Role.VIEWER)
    READ_PREDICTION = ("read a prediction", Role.VIEWER)
    PREDICT = ("ask for predictions", Role.CALLER)
    LABEL = ("send labels", Role.CALLER)
    RETRAIN = ("ask for a new candidate", Role.OPERATOR)
    PROMOTE = ("promote a version", Role.OPERATOR)
    ROLL_BACK = ("roll back", Role.OPERATOR)
    HOLD = ("hold a candidate", Role.OPERATOR)
    MANAGE_KEYS = ("make or revoke keys", Role.ADMIN)
    DEPLOY = ("deploy", Role.ADMIN)

    # Of members that are one object each; an Enum's own hashes the name in Python, at every request.
    __hash__ = object.__hash__

    @property
    def phrase(self) -> str:
        """The action as it reads in a sentence."""
        return self.value[0]

    @property
    def smallest_role(self) -> Role:
        """The smallest role that may do it."""
        return self.value[1]


def is_allowed(role: Role, action: Action) -> bool:
    """Whether the role is large enough for the action."""
    return role >= action.smallest_role


def require(role: Role, action: Action, *, key_workload: str | None, workload: str) -> None:
    """Return when a key of that role may act on the workload, else raise AccessError; a key without one is for all."""
    if key_workload is not None and key_workload != workload:
        raise AccessError(f"This key is for workload {key_workload!r}, not {workload!r}; use a key for {workload!r}.")
    if not is_allowed(role, action):
        raise AccessError(
            f"The role {role} may not {action.phrase}; that takes {action.smallest_role} or larger. Use such a key."
        )

"""Policy evaluation: an explicit Deny wins, then an explicit Allow, else the action is denied (IAM: evaluation logic)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rootlet.policies import conditions, patterns
from rootlet.policies.document import Policy, Statement
from rootlet.policies.variables import Variables

_NOTHING = Variables()


@dataclass(frozen=True)
class Considered:
    """A statement that names the action. ``why_not`` is empty where it applies.

    ``resource`` is the one that matched, and ``pattern`` the text of the policy for it.
    """

    policy: str
    statement: Statement
    resource: str = ""
    why_not: str = ""
    pattern: str = ""

    @property
    def title(self) -> str:
        return f"{self.statement.effect} by {self.statement.title} of policy {self.policy}"


@dataclass(frozen=True)
class Decision:
    """``by`` is the statement that decided; None where no statement allows it. ``values`` are the variables used."""

    allowed: bool
    by: Considered | None
    considered: Sequence[Considered]
    values: dict[str, str | None] = field(default_factory=dict)


def decide(policies: Iterable[Policy], action: str, resource: str, variables: Variables) -> Decision:
    """Whether ``policies`` together allow ``action`` (``iot:Publish``) on ``resource``, an ARN."""
    considered = [
        _consider(policy.name, statement, resource, variables)
        for policy in policies
        for statement in policy.statements
        if _names_action(statement, action)
    ]
    applying = [entry for entry in considered if not entry.why_not]
    denying = [entry for entry in applying if entry.statement.effect == "Deny"]
    by = next(iter(denying or applying), None)
    allowed = by is not None and by.statement.effect == "Allow"
    return Decision(allowed, by, considered, _values(considered, variables))


def _names_action(statement: Statement, action: str) -> bool:
    named = any(patterns.matches(pattern.lower(), action.lower(), _NOTHING) for pattern in statement.actions)
    return named != statement.not_actions


def _consider(policy: str, statement: Statement, resource: str, variables: Variables) -> Considered:
    matched = next((pattern for pattern in statement.resources if patterns.matches(pattern, resource, variables)), None)
    if (matched is None) != statement.not_resources:
        named = ", ".join(patterns.resolved(pattern, variables) for pattern in statement.resources)
        return Considered(
            policy, statement, why_not=f"its resources are {'all but ' if statement.not_resources else ''}{named}"
        )
    shown = patterns.resolved(matched, variables) if matched is not None else resource
    pattern = patterns.shown(matched) if matched is not None else f"all but {', '.join(statement.resources)}"
    return Considered(policy, statement, shown, conditions.unmet(statement.conditions, variables), pattern)


def _values(considered: Iterable[Considered], variables: Variables) -> dict[str, str | None]:
    asked: dict[str, None] = {}
    for entry in considered:
        for pattern in entry.statement.resources:
            asked |= dict.fromkeys(patterns.names(pattern))
        for keys in entry.statement.conditions.values():
            for key, expected in keys.items():
                asked |= dict.fromkeys([key, *(name for text in expected for name in patterns.names(text))])
    return {name: ", ".join(variables.get(name)) or None for name in asked}

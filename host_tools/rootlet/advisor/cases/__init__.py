"""The catalogue: Device Advisor's cases by group, and Rootlet's own. A module registers its cases on import."""

from rootlet.advisor.stage import CATALOGUE, Case


def catalogue() -> dict[str, Case]:
    """All cases by id: Device Advisor's in its order, then Rootlet's own."""
    from rootlet.advisor.cases import connect, long, messages, ours, services, tls  # noqa: F401

    return dict(sorted(CATALOGUE.items(), key=lambda item: item[1].number or 1000))

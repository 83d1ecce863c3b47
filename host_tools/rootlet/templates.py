"""HTML and SVG from the Jinja templates of a package, autoescaped: names in them come from certificates and devices."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def environment(package: str) -> Environment:
    """The templates in ``package``'s directory ``templates``. Every value is escaped; a missing one is an error."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

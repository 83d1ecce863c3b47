"""The optional dependencies: which modules each extra brings, and the one refusal where they are missing."""

import importlib.util

from rootlet.errors import RootletError

MODULES = {
    "emulator": ("micropython_run", "dns"),
    "sandbox": ("ministack", "hypercorn"),
    "hsm": ("pkcs11",),
    "factory": ("sqlalchemy", "alembic", "psycopg", "segno", "PIL", "reportlab", "starlette", "uvicorn", "jinja2"),
}
"""By extra, as pyproject.toml names it: what is imported of it."""


def require(extra: str, what: str) -> None:
    """Check, before the first import, that the modules of ``extra`` are installed; ``what`` needs them.

    Raises RootletError that names the extra. Nothing is imported.
    """
    missing = [module for module in MODULES[extra] if importlib.util.find_spec(module) is None]
    if missing:
        raise RootletError(
            f"{what} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            hint=f"pip install 'rootlet[{extra}]'",
        )

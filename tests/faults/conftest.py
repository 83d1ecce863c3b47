from support.factory_line import ca, golden, line
from support.postgres import postgresql

__all__ = ["ca", "golden", "line", "postgresql"]

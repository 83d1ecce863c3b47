"""The tiles of the factory floor, one for each port of each station. The ledger's database holds them for any console."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from rootlet.errors import RootletError
from rootlet.factory.database import Database
from rootlet.factory.schema import PORTS
from rootlet.factory.station import Phase, PortStatus

BEAT = 2.0
"""Seconds between two heartbeats of a station."""

SILENT = 10.0
"""Seconds without a heartbeat after which a station counts as gone."""

_QUICKEST = 0.5  # seconds between two writes
_HOUR = 3600.0
_DAY = 24 * _HOUR


@dataclass
class Tile:
    """One port's tile. ``since`` is in Unix seconds. ``repeats``: how often the same board failed again."""

    station: str
    port: str
    batch: str
    phase: str = Phase.EMPTY
    thing: str = ""
    mac: str = ""
    fraction: float = 0.0
    what: str = ""
    hint: str = ""
    passed: int = 0
    failed: int = 0
    aside: int = 0
    repeats: int = 0
    since: float = 0.0
    at: float = 0.0
    seconds: float = 0.0
    per_hour: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether the station's heartbeat is overdue."""
        return time.time() - self.at > SILENT


class Floor:
    """The tiles of one station. Without the database the page is not updated; boards are not affected."""

    def __init__(self, database: Database, station: str, batch: str) -> None:
        self._database = database
        self._station = station
        self._batch = batch
        self.tiles: dict[str, Tile] = {}
        self._began = time.monotonic()
        self._passes: dict[str, list[float]] = {}
        self._failed: dict[str, str | None] = {}
        self._dirty = False
        self._published = 0.0

    def note(self, port: str, status: PortStatus, *, ended: bool) -> None:
        """Update a tile from a port's status."""
        now = time.time()
        tile = self.tiles.setdefault(port, Tile(self._station, port, self._batch, since=now))
        if status.phase is Phase.IDENTIFY:
            tile.since = now
        if ended:
            tile.repeats = tile.repeats + 1 if status.phase is Phase.FAILED and status.mac == self._failed.get(port) else 0
            self._failed[port] = status.mac if status.phase is Phase.FAILED else None
        tile.phase, tile.thing, tile.mac, tile.fraction = str(status.phase), status.thing, status.mac, status.fraction
        tile.what, tile.hint = status.what, status.hint
        if ended:
            tile.seconds = now - tile.since
            tile.passed += status.phase is Phase.DONE
            if status.phase is Phase.DONE:
                self._passes.setdefault(port, []).append(time.monotonic())
            tile.failed += status.phase is Phase.FAILED
            tile.aside += status.phase is Phase.REFUSED
        self._dirty = True

    def publish(self) -> None:
        """Write changed tiles, and a heartbeat when it is due."""
        since = time.monotonic() - self._published
        if since < (_QUICKEST if self._dirty else BEAT):
            return
        self._published, self._dirty = time.monotonic(), False
        now = time.time()
        rows = []
        for tile in self.tiles.values():
            tile.at, tile.per_hour = now, self._rate(tile.port)
            rows.append({"station": tile.station, "port": tile.port, "batch": tile.batch, "tile": asdict(tile), "at": now})
        self._replace(rows)

    def _rate(self, port: str) -> float:
        """Boards an hour, over the last hour or since the station's start."""
        hour_ago = time.monotonic() - _HOUR
        recent = self._passes[port] = [at for at in self._passes.get(port, []) if at > hour_ago]
        return len(recent) * _HOUR / max(1.0, min(_HOUR, time.monotonic() - self._began))

    def clear(self) -> None:
        """Remove the tiles of a station that ends."""
        self._replace([])

    def _replace(self, rows: list[dict[str, Any]]) -> None:
        try:
            with self._database.writing() as connection:
                connection.execute(sa.delete(PORTS).where(PORTS.c.station == self._station))
                if rows:
                    connection.execute(sa.insert(PORTS), rows)
        except RootletError:
            self._dirty = True


def tiles(database: Database) -> list[Tile]:
    """Every port of every station with a heartbeat in the last day, in order."""
    with database.reading() as connection:
        recent = PORTS.c.at > time.time() - _DAY
        rows = connection.execute(sa.select(PORTS.c.tile).where(recent).order_by(PORTS.c.station, PORTS.c.port))
        return [Tile(**row.tile) for row in rows]

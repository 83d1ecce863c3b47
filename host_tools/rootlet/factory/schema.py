"""The ledger's tables, states and steps."""

from enum import StrEnum

import sqlalchemy as sa

METADATA = sa.MetaData()

BATCHES = sa.Table(
    "batches",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(128), nullable=False, unique=True),
    sa.Column("board", sa.String(64), nullable=False, server_default=""),
    sa.Column("customer", sa.String(128), nullable=False, server_default=""),
    sa.Column("ca_sha256", sa.String(64), nullable=False, server_default=""),
    sa.Column("registration", sa.String(16), nullable=False, server_default=""),
    # The other fields of plan.BatchPlan.
    sa.Column("details", sa.JSON, nullable=False, server_default="{}"),
)

IDENTITIES = sa.Table(
    "identities",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id"), nullable=False),
    sa.Column("thing", sa.String(128), nullable=False, unique=True),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # The step that was begun and not yet finished; empty between steps. After a power cut it is the interrupted one.
    sa.Column("in_progress", sa.String(16), nullable=False),
    sa.Column("mac", sa.String(23), unique=True),
    sa.Column("certificate_id", sa.String(64), unique=True),
    sa.Column("certificate_pem", sa.Text),
    sa.Column("serial", sa.String(64)),
    # The reason why the last step failed; empty again as soon as a step succeeds.
    sa.Column("trouble", sa.Text),
    # The current worker: each take-over writes a new claim, and the holder of an old one can no longer write.
    sa.Column("claim", sa.String(128)),
    sa.Index("identities_by_state", "batch_id", "state", "id"),
)

ENTRIES = sa.Table(
    "entries",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(32), nullable=False),  # text, because databases round times differently and it is hashed
    sa.Column("thing", sa.String(128), nullable=False),
    sa.Column("step", sa.String(16), nullable=False),
    sa.Column("phase", sa.String(8), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("mac", sa.String(23)),
    sa.Column("certificate_id", sa.String(64)),
    sa.Column("station", sa.String(128), nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("entries_by_thing", "thing", "seq"),
    sa.Index("entries_by_certificate", "certificate_id"),
)

# The current status of each port, for the console: overwritten all the time, and not part of the chain.
PORTS = sa.Table(
    "ports",
    METADATA,
    sa.Column("station", sa.String(128), primary_key=True),
    sa.Column("port", sa.String(256), primary_key=True),
    sa.Column("batch", sa.String(128), nullable=False),
    sa.Column("tile", sa.JSON, nullable=False),
    sa.Column("at", sa.Float, nullable=False),  # Unix seconds of the station's last heartbeat
)

# One row: the end of the chain. Every writer locks it first, which also makes an assignment exclusive.
HEAD = sa.Table(
    "head",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)


class State(StrEnum):
    """The state of an identity."""

    OPEN = "open"
    ASSIGNED = "assigned"
    ISSUED = "issued"
    IMAGED = "imaged"
    BURNED = "burned"
    PROTECTED = "protected"  # its eFuses are burned; only in batches with flash encryption or secure boot
    PROVED = "proved"
    REGISTERED = "registered"
    QUEUED = "queued"
    WAITING = "waiting"  # the board has left the station, and is registered later (deferred, or JITP)
    DONE = "done"
    REVOKED = "revoked"  # its certificate is revoked in AWS: it can be scrapped
    SCRAPPED = "scrapped"


BEFORE_PROOF = (State.ASSIGNED, State.ISSUED, State.IMAGED, State.BURNED, State.PROTECTED)
AFTER_PROOF = (State.PROVED, State.REGISTERED, State.QUEUED, State.WAITING, State.DONE)


class Step(StrEnum):
    """The steps of a station."""

    ISSUE = "issue"
    IMAGE = "image"
    BURN = "burn"
    PROTECT = "protect"
    PROVE = "prove"
    REGISTER = "register"
    QUEUE = "queue"
    CONNECT = "connect"
    LABEL = "label"
    REVOKE = "revoke"


# step -> {the state it may start from: the state it leads to}. The key is in the station's memory only, so after a crash
# before the proof a new one is issued: every state before PROVED leads back to ISSUE, and no later one does.
STEPS: dict[Step, dict[State, State]] = {
    Step.ISSUE: dict.fromkeys(BEFORE_PROOF, State.ISSUED),
    Step.IMAGE: {State.ISSUED: State.IMAGED},
    Step.BURN: {State.ISSUED: State.BURNED, State.IMAGED: State.BURNED},
    Step.PROTECT: {State.BURNED: State.PROTECTED},
    Step.PROVE: {State.BURNED: State.PROVED, State.PROTECTED: State.PROVED},
    Step.REGISTER: {State.PROVED: State.REGISTERED, State.QUEUED: State.REGISTERED, State.WAITING: State.DONE},
    Step.QUEUE: {State.PROVED: State.QUEUED},
    Step.CONNECT: {State.REGISTERED: State.REGISTERED},
    Step.LABEL: {State.REGISTERED: State.DONE, State.QUEUED: State.WAITING},
    Step.REVOKE: dict.fromkeys((*BEFORE_PROOF, *AFTER_PROOF), State.REVOKED),
}

# What happens once a boot, before anything is connected and once flash is read (identity.py): the tasks begin. Then it is
# free heap again.
import asyncio
import gc

from .delivery import Delivery
from .log import log
from .modules import use
from .mqtt import Session
from .outbox import Outbox
from .tasks import failed, for_ever
from .watchdog import Guard

_SILENCE = const(300)  # seconds; more than any one rung of the ladder may take, but for Wi-Fi, which depends on the networks
_GRACE = const(60)  # seconds that an application's function may take beyond its period
_OUTBOX = const("/state/outbox")
_PRESENCE = const("$aws/events/presence/disconnected/")


def start(device):
    """Make what is always there, and start the device's tasks and the application's telemetry.

    Raises ValueError for a telemetry function whose period is none. Returns session, outbox, delivery and guard.
    """
    for stream, _, every in device.telemetries:
        if not 0 < every < 1e9:
            raise ValueError("telemetry %s: every=%s is not a number of seconds above 0" % (stream, every))
    asyncio.get_event_loop().set_exception_handler(failed)
    session, outbox = _read(device)
    delivery = Delivery(device)
    settings = device.settings
    guard = Guard(settings["watchdog"])
    guard.expect("connection", _SILENCE + len(settings["wifi"]) * settings["wifi_timeout"])
    asyncio.create_task(for_ever("guard", 1, guard.run, device.every_second, not device.safe))
    asyncio.create_task(for_ever("outbox", 1, delivery.run))
    for service in device.services:
        service.bind(device.thing)
    for stream, function, every in device.telemetries:
        # Readings begin at once, whatever the link does. A function that never returns stops the watchdog's food.
        task = "telemetry " + stream
        guard.expect(task, every + _GRACE)
        asyncio.create_task(for_ever(task, every, device.read, task, function))
    device.telemetries = None
    return session, outbox, delivery, guard


def _read(device):
    # What hangs on its settings and its identity.
    settings = device.settings
    device.topics = use("topics", "table", settings["application"], device.thing)
    client_id = settings["client_id"] or device.thing
    device.presence = _PRESENCE + client_id if settings["presence"] else None
    session = Session(client_id, settings["endpoint"], settings["port"], settings["keep_alive"], device.on_message)
    session.set_last_will(device.topics["status"], b'{"online": false}', retain=True, qos=1)
    session.on_skipped = device.on_skipped
    session.on_second = device.on_second
    device.history = use("evidence", "history")
    device.record_of_faults = use("journal", "kept", use("boots", "reset_cause"))
    outbox = Outbox(_OUTBOX, settings["outbox_ram"], settings["outbox_flash"])
    outbox.rules = device.rules
    gc.collect()
    short = use("heap", "too_little_for_all", settings["wifi"])
    if short:
        log("heap", short.cause)
    return session, outbox

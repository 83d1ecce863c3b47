"""How long a connection may be silent.

AWS IoT Core endpoints and quotas, connection inactivity: a client may ask for 30 to 1,200 seconds; one that asks for less
gets 30, one that asks for none gets the default; the server hangs up after 1.5 times the interval.
"""

import asyncio
from collections.abc import Callable

SHORTEST, LONGEST = 30, 1200  # seconds


def patience(asked: int, shortest: int = SHORTEST) -> float:
    """The seconds of silence that end a connection whose CONNECT asked for this keep-alive."""
    return 1.5 * (min(max(asked, shortest), LONGEST) if asked else LONGEST)


async def silence(seconds: float, last_heard: Callable[[], float]) -> None:
    """Return once nothing was heard for so long. ``last_heard`` is a time of the event loop."""
    loop = asyncio.get_running_loop()
    while (left := last_heard() + seconds - loop.time()) > 0:
        await asyncio.sleep(left)

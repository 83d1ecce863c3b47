# A trusted stream: TLS with the chain, the host name and the dates verified. There is no way to ask for less (trust.py).
from .faults import Fault, number
from .modules import use
from .stream import Stream


def wrap(sock, host, ssl_context):
    """TLS over a connected socket; the handshake follows with the first write. Raises Fault, and leaves the socket open."""
    fault = use("heap", "too_little_for_tls")
    if fault:  # a handshake that cannot end well would say something else
        raise fault
    try:
        wrapped = ssl_context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except OSError as error:
        what = "TLS could not start (%s)" % error
        raise use("heap", "told_apart", number(error), what) or Fault("tls-failed", what)
    return Stream(wrapped, sock, host)

# What leaf's verify_callback makes of certificates: what it noted, or the exception that would have left it.
from leaf.x509 import recorder


def noted(der):
    chain = []
    try:
        result = recorder(chain)(der, 0)
    except BaseException as error:
        return type(error).__name__
    return [result, chain]


class Interrupted:  # Ctrl-C may come while the callback runs
    def __getitem__(self, at):
        raise KeyboardInterrupt


class Full(list):
    def append(self, value):
        raise MemoryError


answer(
    {
        "given": [noted(bytes.fromhex(der)) for der in given],
        "interrupted": noted(Interrupted()),
        "full": recorder(Full())(b"", 0),
    }
)

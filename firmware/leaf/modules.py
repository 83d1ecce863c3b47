# Loading a module when it is used, and leaving it when done: what a connected device does not need is better as free heap.
#
# Such a module keeps nothing: its state belongs to what calls it. And nothing that lives on may hold on to it: no variable
# of a function that never ends, no callback, no instance of its classes.
import gc
import sys

_users = {}  # name -> [how many, the modules of leaf that loading it brought]


def use(name, function, *arguments):
    """Call a function of leaf's module of that name, which is in RAM, with what it imports, for the call only."""
    module = hold(name)
    try:
        return getattr(module, function)(*arguments)
    finally:
        module = None
        release(name)


async def run(name, function, *arguments):
    """As use(), for a coroutine function."""
    module = hold(name)
    try:
        return await getattr(module, function)(*arguments)
    finally:
        module = None  # what remains of a coroutine that has ended may be in RAM for long
        release(name)


def hold(name):
    """Load a module, or use it once more, until release()."""
    name = "leaf." + name
    entry = _users.get(name)
    if not entry:
        gc.collect()  # now, lest the heap grows for what is garbage
        before = list(sys.modules)
        try:
            __import__(name)
        except MemoryError:
            _forget([new for new in sys.modules if new not in before])
            raise
        entry = _users[name] = [0, [new for new in sys.modules if new not in before]]
    entry[0] += 1
    return sys.modules[name]


def release(name):
    """Forget the module, and what came with it, where nobody else holds it. What was there before it stays."""
    entry = _users["leaf." + name]
    entry[0] -= 1
    if not entry[0]:
        del _users["leaf." + name]
        _forget(entry[1])


def _forget(names):
    for name in names:
        sys.modules.pop(name, None)
        package, _, attribute = name.rpartition(".")
        if hasattr(sys.modules.get(package), attribute):
            delattr(sys.modules[package], attribute)
    gc.collect()

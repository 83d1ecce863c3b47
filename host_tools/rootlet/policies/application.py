"""What an application for ``leaf`` does on MQTT: its streams, subscriptions and services, read from its source.

The source is parsed and never run. What is meant is what ``leaf`` offers: the decorators ``telemetry`` and ``subscribe`` and
the method ``record`` of a ``Device``, and the classes of ``leaf.services``. A name that is worked out at run time
cannot be read; it is listed with its place.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rootlet.errors import BadInput
from rootlet.files import read_input

ENTRY = "main.py"


@dataclass(frozen=True)
class Use:
    """One thing that the application does; ``place`` is FILE:LINE."""

    name: str
    place: str


@dataclass(frozen=True)
class Application:
    """``streams``; ``topics`` that it subscribes to; ``services`` such as shadow:room; ``unread`` is what is unclear."""

    streams: tuple[Use, ...] = ()
    topics: tuple[Use, ...] = ()
    services: tuple[Use, ...] = ()
    unread: tuple[Use, ...] = ()


def read(path: Path) -> Application:
    """The application in a .py file, or in a directory with ``main.py``. Raises BadInput where it does not parse."""
    if path.is_dir() and not (path / ENTRY).is_file():
        raise BadInput(f"there is no application in {path}", hint=f"name a .py file, or a directory with a {ENTRY} in it")
    modules = [_Module(source, path) for source in _sources(path)]
    devices = {"device"}.union(*(module.devices for module in modules))
    found: dict[str, dict[str, Use]] = {kind: {} for kind in ("streams", "topics", "services", "unread")}
    for module in modules:
        for kind, use in module.uses(devices):
            found[kind].setdefault(use.place if kind == "unread" else use.name, use)
    return Application(**{kind: tuple(uses.values()) for kind, uses in found.items()})


def _sources(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob("*.py"))
    return [
        file for file in files if not any(part.startswith((".", "__pycache__")) for part in file.relative_to(path).parts)
    ]


class _Module:
    """One source file: its imports of ``leaf``, its constants, and what it calls."""

    def __init__(self, source: Path, root: Path) -> None:
        self._name = str(source.relative_to(root)) if source != root else source.name
        try:
            self._tree = ast.parse(read_input(source, "application"))
        except SyntaxError as error:
            raise BadInput(f"{source} does not parse: {error.msg}, line {error.lineno}", hint="correct it") from None
        except ValueError as error:  # a NUL byte
            raise BadInput(f"{source} is not Python source: {error}", hint="name a .py file") from None
        self._imported = dict(_imports(self._tree))
        self._constants = dict(_constants(self._tree))
        self.devices = {
            name
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Assign) and self._calls(node.value) == "leaf.Device"
            for target in node.targets
            if (name := _last(target))
        }

    def uses(self, devices: set[str]) -> Iterator[tuple[str, Use]]:
        """What it does, by the field of Application; ``devices`` are the names that a Device goes by."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    if _method(decorator, devices) == "telemetry":
                        yield "streams", Use(node.name, self._place(decorator))
            elif isinstance(node, ast.Call):
                yield from self._call(node, devices)

    def _call(self, call: ast.Call, devices: set[str]) -> Iterator[tuple[str, Use]]:
        method = _method(call, devices)
        if method == "record":
            yield self._named("streams", call, _argument(call, 0, "stream"), "the stream of record()")
        elif method == "subscribe":
            yield self._named("topics", call, _argument(call, 0, "topic"), "the topic of subscribe()")
        elif isinstance(call.func, ast.Call) and _method(call.func, devices) == "telemetry":  # not as a decorator
            function = _argument(call, 0, "function")
            named = isinstance(function, ast.Name)
            what = function.id if isinstance(function, ast.Name) else "the function given to telemetry()"
            yield ("streams" if named else "unread"), Use(what, self._place(call))
        elif (service := self._calls(call)) == "leaf.services.jobs.Jobs":
            yield "services", Use("jobs", self._place(call))
        elif service == "leaf.services.shadow.Shadow":
            name = _argument(call, 1, "name")
            if name is None or (isinstance(name, ast.Constant) and name.value is None):
                yield "services", Use("shadow", self._place(call))
            else:
                yield self._named("services", call, name, "the name of the Shadow", "shadow:")

    def _named(self, kind: str, call: ast.Call, value: ast.expr | None, what: str, prefix: str = "") -> tuple[str, Use]:
        text = self._text(value)
        return ("unread", Use(what, self._place(call))) if text is None else (kind, Use(prefix + text, self._place(call)))

    def _text(self, value: ast.expr | None) -> str | None:
        """A string that is written out, or a constant of the module; None where it is worked out at run time."""
        if isinstance(value, ast.Name):
            return self._constants.get(value.id)
        return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None

    def _calls(self, node: ast.expr) -> str | None:
        """What a call calls, by its full name: ``leaf.Device``."""
        if not isinstance(node, ast.Call):
            return None
        head, _, rest = ast.unparse(node.func).partition(".")
        full = self._imported.get(head, head)
        return f"{full}.{rest}" if rest else full

    def _place(self, node: ast.expr) -> str:
        return f"{self._name}:{node.lineno}"


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """A name in the file, and what it is called in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Strings that a name of the module stands for, and for nothing else anywhere in the file."""
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    names += [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for target in node.targets:
                if isinstance(target, ast.Name) and names.count(target.id) == 1:
                    yield target.id, node.value.value


def _method(node: ast.expr, devices: set[str]) -> str | None:
    """The method of a Device that a call is of."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _last(node.func.value) in devices:
        return node.func.attr
    return None


def _last(node: ast.expr) -> str | None:
    """``device`` of ``device`` and of ``self.device``."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None


def _argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    if len(call.args) > position:
        return call.args[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)

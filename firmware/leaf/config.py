# The device's configuration: the defaults in config_schema.json < /config.json < overrides of the device's own, checked by
# the rules of that schema. The host checks the same file by the same rules when it builds the image.
import json

from . import state
from .faults import Fault, data, report

_OVERRIDES = const("config.json")  # under /state
_TYPES = {"str": str, "int": int, "bool": bool, "list": list, "dict": dict}


def load(path="/config.json", schema_path=None):
    """Return the configuration with its defaults and overrides. Raises Fault that names key, value and rule.

    Overrides that break a rule are reported and left out: what came over the air must not brick a device.
    """
    schema = _schema(schema_path)
    values = _read(path)
    problem = check(values, schema)
    if problem:
        raise Fault("config", "%s: %s" % (path, problem))
    overrides = state.read(_OVERRIDES, {})
    if overrides:
        merged = dict(values)
        merged.update(overrides)
        problem = check(merged, schema)
        if problem:
            report(Fault("config", "overrides left out: " + problem))
        else:
            values = merged
    for key in schema:
        if key not in values:
            values[key] = schema[key].get("default")
    return values


def override(values, path="/config.json", schema_path=None):
    """Keep values (key -> value; {} for none) over /config.json, from the next boot on. Raises Fault and keeps nothing."""
    merged = _read(path)
    merged.update(values)
    problem = check(merged, _schema(schema_path))
    if problem:
        raise Fault("config", "overrides: " + problem)
    state.write(_OVERRIDES, values)


def check(values, schema):
    """The first thing wrong with values, in one line, or None."""
    if not isinstance(values, dict):
        return "is %s; must be an object" % _show(values, {})
    return _check_keys(values, schema, "")


def _schema(path):
    if path:
        return _read(path)
    try:
        with data("config_schema.json") as stream:
            return json.load(stream)
    except OSError:
        raise Fault("config", "config_schema.json is missing")


def _read(path):
    try:
        with open(path) as stream:
            return json.load(stream)
    except OSError:
        raise Fault("config", "%s is missing" % path)
    except ValueError:
        raise Fault("config", "%s is not valid JSON" % path)


def _check_keys(table, keys, prefix):
    for key in table:
        if key not in keys:
            return "%s%s is not a known key; known are %s" % (prefix, key, ", ".join(sorted(keys)))
    for key in sorted(keys):
        rule = keys[key]
        if key not in table:
            if rule.get("required"):
                return "%s%s is missing; it is required" % (prefix, key)
            continue
        problem = _check_value(table[key], rule, prefix + key)
        if problem:
            return problem
    return None


def _check_value(value, rule, name):
    shown = "%s is %s" % (name, _show(value, rule))
    kind: object = _TYPES[rule["type"]]
    if type(value) is not kind:  # not isinstance: to Python, true is an int
        return "%s; must be of type %s" % (shown, rule["type"])
    if value in rule.get("also", ()):
        return None
    size, noun = (value, "") if kind in (int, bool) else (len(value), "length ")
    if "min" in rule and size < rule["min"]:
        also = "".join(["%s, or " % value for value in rule.get("also", ())])
        return "%s; %smust be %sat least %d" % (shown, noun, also, rule["min"])
    if "max" in rule and size > rule["max"]:
        return "%s; %smust be at most %d" % (shown, noun, rule["max"])
    for character in value if "chars" in rule else "":
        if character not in rule["chars"]:
            return "%s; must not contain %s" % (shown, json.dumps(character))
    if "items" in rule:
        for number, item in enumerate(value):
            problem = _check_value(item, rule["items"], "%s[%d]" % (name, number))
            if problem:
                return problem
    if "keys" in rule:
        return _check_keys(value, rule["keys"], name + ".")
    return None


def _show(value, rule):
    if rule.get("secret"):
        return "(not shown)"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return json.dumps(value)[:40]

# One line a fact on the console: "<ms since boot> <component>: <text>".
from .clock import milliseconds


def log(component, text):
    print("%d %s: %s" % (milliseconds(), component, text))

# What the image says, and the old names of modules that these libraries ask for: MicroPython 1.28 has no `ussl`, and
# on the virtual board the names with a u go past the board's DNS and its clock.
import json
import socket
import ssl
import sys
import time

import umqtt.simple

with open("/config.json") as stream:
    host = json.load(stream)["endpoint"]
with open("/roots/advisor-rsa.der", "rb") as stream:
    root = stream.read()
sys.modules["ussl"] = ssl
sys.modules["utime"] = time
umqtt.simple.socket = socket

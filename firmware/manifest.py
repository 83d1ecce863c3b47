# Freezes leaf into a MicroPython that you build: FROZEN_MANIFEST=.../firmware/manifest.py (docs/own-build.md).
#
# MicroPython's tools/manifestfile.py runs this file in this directory. It freezes .py files only, so leaf's faults.txt and
# config_schema.json stay in vfs, where `rootlet image build` puts them.
import atexit
import hashlib
import os
import shutil
import tempfile

options.defaults(port=True)
if options.port:
    include("$(PORT_DIR)/boards/manifest.py")  # asyncio, umqtt.simple and all else that the official build has

package("leaf", base_path=".")


def leaf_source():
    # As rootlet.board.firmware.leaf_source computes it, which compares the two when it builds an image.
    names = []
    for directory, _, files in os.walk("leaf"):
        names += [os.path.relpath(os.path.join(directory, name), "leaf") for name in files if name.endswith(".py")]
    digest = hashlib.sha256()
    for name in sorted(name.replace(os.sep, "/") for name in names):
        with open("leaf/" + name, "rb") as source:
            digest.update(name.encode() + b"\0" + source.read() + b"\0")
    return digest.hexdigest()


generated = tempfile.mkdtemp()
atexit.register(shutil.rmtree, generated)  # the tool that runs this compiles before it ends
with open(os.path.join(generated, "leaf_source.py"), "w") as module_file:
    module_file.write('DIGEST = "leaf-source-%s"\n' % leaf_source())
module("leaf_source.py", base_path=generated)

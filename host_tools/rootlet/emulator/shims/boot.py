# The virtual board's power-on, under MicroPython's Unix port. It stands for what a chip has outside its flash image:
# the ROM, the frozen _boot.py, the frozen umqtt.simple, and the modules esp32, machine and network.
#
# When it is done, the device sees its own flash and nothing of the host: the host's file system is unmounted. Only then
# may an end of main.py, or a Ctrl-C, lead to a prompt ("prompt" in the world; the Unix port's -i would give one at once, on
# the host's own files).
import json
import os
import sys

import vfs

world = json.loads(os.getenv("ROOTLET_VIRTUAL_BOARD"))
os.unsetenv("ROOTLET_VIRTUAL_BOARD")

import laboratory  # noqa: E402 - the shim beside this file

laboratory.power_on(world)

import ticks  # noqa: E402

ticks.power_on()

import esp32  # noqa: E402

esp32.power_on(world["flash"], world.get("power_cut"), world.get("bad_blocks", ()))

import machine  # noqa: E402
import network  # noqa: E402

machine.power_on(world)
network.power_on(world)
import trusted  # noqa: E402

sys.modules["tls"] = trusted
sys.modules["socket"] = network.Sockets(world.get("resolve", {}), world.get("ports", {}), world.get("resolve_later"))
laboratory.surround(world)

# Frozen in the official ESP32 firmware, so it is in RAM here and nowhere in the flash image.
sys.path.insert(0, world["frozen"])
import umqtt.simple  # noqa: E402, F401

flash = esp32.vfs_partition()
# MicroPython mounts a ROMFS before _boot.py the file system, and leaves it out where the partition holds none.
rom = esp32.romfs(world.get("flash_address"))
filesystem = vfs.VfsLfs2(flash)  # raises OSError where there is none, as a chip's _boot.py would find out
vfs.umount("/")
vfs.mount(filesystem, "/")
if rom:
    vfs.mount(rom, "/rom")
os.chdir("/")
sys.path[:] = ["", ".frozen"] + (["/rom", "/rom/lib"] if rom else []) + ["/lib"]
if world.get("prompt"):
    os.putenv("MICROPYINSPECT", "1")

import c_heap  # noqa: E402

c_heap.power_on(world.get("c_heap"))
del world, flash, filesystem, rom

for script in ("boot.py", "main.py"):
    try:
        os.stat(script)
    except OSError:
        continue
    with open(script) as stream:
        source = stream.read()
    exec(compile(source, script, "exec"), {"__name__": "__main__"})

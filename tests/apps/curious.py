# Prints what an application can see of the machine it runs on.
import os
import sys

try:
    os.stat("/etc/hostname")
    print("HOST-REACHED")
except OSError:
    print("no host file system")
print("files", os.listdir("/"))
print("path", sys.path)
print("environment", os.getenv("ROOTLET_VIRTUAL_BOARD"), os.getenv("AWS_SECRET_ACCESS_KEY"))

# mbedTLS's verdict about a server.
import json
import os
import socket

import tls

given = json.loads(os.getenv("GIVEN"))
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
for der in given["roots"]:
    try:
        context.load_verify_locations(bytes.fromhex(der))
    except ValueError:
        pass  # as leaf does: the others serve
sock = socket.socket()
sock.connect(socket.getaddrinfo("127.0.0.1", given["port"])[0][-1])
try:
    context.wrap_socket(sock, server_hostname=given["host"])
    print("connected")
except (ValueError, OSError) as error:
    print("refused:", " ".join(str(error).split()))

# What went wrong: one word, what was seen, and what an engineer can do about it.
from .log import log

HINTS = {
    "config": "correct config.json and build the image again",
    "credentials": "write an identity to the board: rootlet image build --device",
    "wifi-password": "correct the network's password in config.json",
    "wifi-not-found": "check the network's name, its 2.4 GHz band and the distance",
    "wifi-lost": "check the access point",
    "clock-unset": "allow NTP (UDP port 123) to one of the servers in config.json",
    "dns": "check the endpoint's spelling and the network's DNS",
    "tcp": "check that the network lets TCP through to this port",
    "tls-no-tls": "check endpoint and port: MQTT over TLS is on 8883",
    "tls-untrusted-root": "embed the server's root (rootlet roots list), or find out who answers in its place",
    "tls-hostname": "set the endpoint to the name in the server's certificate (rootlet cloud endpoint)",
    "tls-expired": "renew the server's certificate, or check the device's clock",
    "tls-not-yet-valid": "check the device's clock, then the server's certificate",
    "tls-failed": "compare the server's TLS settings with the device's (TLS 1.2, ECDHE)",
    "key-mismatch": "write certificate and key that were issued together",
    "device-certificate-refused": "register and activate it (rootlet cloud register), and check its policy",
    "policy-denied": "allow it in the certificate's policy",
    "connect-refused": "check client id and protocol level",
    "connection-lost": "wait: the device tries again; if it recurs, check the network",
    "keep-alive": "check the network: the connection was dead without saying so",
    "protocol": "check what answers at the endpoint: it does not speak MQTT 3.1.1",
    "unexpected": "report this line to whoever makes the firmware; the device tries again",
    "out-of-memory": "free memory in the application, or send smaller payloads",
}


class Fault(Exception):
    """Ends an attempt. word is a key of HINTS; cause says what was seen; proven, that the connection held for a while."""

    proven = False

    def __init__(self, word, cause):
        super().__init__(word, cause)
        self.word = word
        self.cause = cause


def report(fault):
    log("fault", "%s: %s; %s" % (fault.word, fault.cause, HINTS[fault.word]))

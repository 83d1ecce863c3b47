# Reads the few fields of an X.509 certificate (RFC 5280 section 4.1) that a device needs. It verifies nothing: mbedTLS does.
_COMMON_NAME = const(b"\x06\x03\x55\x04\x03")  # OID 2.5.4.3, DER


def value(der, at):
    """The tag at `at`, and where its value begins and ends."""
    length = der[at + 1]
    start = at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + length > len(der):
        raise ValueError("DER ends early")
    return der[at], start, start + length


def recorder(chain):
    """Return a verify_callback that notes issuer and subject of every certificate of the chain that mbedTLS built.

    They come from the root's side to the server's own. A certificate that cannot be read is noted as ("?", "?").
    """

    def note(der, depth):
        # An exception would leave mbedTLS by longjmp: its memory stays taken, and the cause of the failure is lost.
        try:
            chain.append(names(der))
        except BaseException:
            try:
                chain.append(("?", "?"))
            except BaseException:
                pass  # no memory for a longer list
        return 0

    return note


def fields(der):
    """Where issuer, subject and the public key's info lie: (tag, start, end) each."""
    _, at, _ = value(der, 0)
    _, at, end = value(der, at)
    fields = []
    while at < end:
        field = value(der, at)
        if field[0] != 0xA0:  # the explicit version
            fields.append(field)
        at = field[2]
    return fields[2], fields[4], fields[5]  # after the serial number and the algorithm; validity stands between


def common_name(name):
    """The common name in a DER-encoded name, or ''."""
    name = bytes(name)
    at = name.find(_COMMON_NAME)
    if at < 0:
        return ""
    _, start, end = value(name, at + len(_COMMON_NAME))
    try:
        return name[start:end].decode()
    except ValueError:  # not UTF-8: in practice a TeletexString, which holds Latin-1
        return "".join([chr(byte) for byte in name[start:end]])


def names(der):
    """Common names of issuer and subject of a DER certificate. Raises ValueError for what is none."""
    try:
        issuer, subject, _ = fields(der)
    except IndexError:
        raise ValueError("not an X.509 certificate")
    return common_name(der[issuer[1] : issuer[2]]), common_name(der[subject[1] : subject[2]])

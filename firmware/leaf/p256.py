# The curve P-256 (secp256r1; FIPS 186-5, SEC 2), and the check of an ECDSA signature. Making keys and signing: keypair.py.
#
# The numbers are MicroPython's, whose time depends on their values: where a secret goes in, the steps are always the same,
# but not the time that each takes. Who can measure that, or the board's current, is not kept out.
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = const(0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B)
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_INFINITY = (1, 1, 0)


# A point is (x, y) where it is known, and (X, Y, Z) with x = X / Z², y = Y / Z³ on the way, which needs no division.


def _double(point):
    x, y, z = point  # 8 multiplications; of infinity it makes infinity
    zz = z * z % P
    yy = y * y % P
    beta = x * yy % P
    alpha = 3 * (x - zz) * (x + zz) % P
    x = (alpha * alpha - 8 * beta) % P
    return x, (alpha * (4 * beta - x) - 8 * yy * yy) % P, 2 * point[1] * z % P


def _add(a, b):
    if not a[2]:  # 16 multiplications
        return b
    if not b[2]:
        return a
    zz, ww = a[2] * a[2] % P, b[2] * b[2] % P
    u, h = a[0] * ww % P, b[0] * zz % P
    s, r = a[1] * b[2] * ww % P, b[1] * a[2] * zz % P
    h, r = (h - u) % P, (r - s) % P
    if not h:
        return _INFINITY if r else _double(a)
    zz = h * h % P
    ww = zz * h % P
    u = u * zz % P
    x = (r * r - ww - 2 * u) % P
    return x, (r * (u - x) - s * ww) % P, a[2] * b[2] * h % P


def affine(point):
    """(x, y) of a point on the way."""
    inverse = pow(point[2], P - 2, P)
    square = inverse * inverse % P
    return point[0] * square % P, point[1] * square * inverse % P


def multiply(secret):
    """secret * G as (x, y); 0 < secret < N. Always the same 257 steps of an addition and a doubling."""
    secret += N  # the top bit of the total is one of two, whatever the secret was
    if not secret >> 256:
        secret += N
    low, high = (G[0], G[1], 1), _double((G[0], G[1], 1))
    for bit in range(255, -1, -1):
        both = _add(low, high)
        if secret >> bit & 1:
            low, high = both, _double(high)
        else:
            low, high = _double(low), both
    return affine(low)


def on_curve(point):
    """Whether (x, y) is a public key: on the curve, which has no other points to be led to."""
    x, y = point
    return 0 <= x < P and 0 <= y < P and (y * y - x * x * x + 3 * x - _B) % P == 0


def number(digest):
    """A digest as ECDSA uses it: its first 256 bits (FIPS 186-5 section 6.4)."""
    return int.from_bytes(digest[:32], "big")


def verify(public, digest, signature):
    """Whether signature, DER, is that of the private key to public, (x, y), over a message with this digest. Raises nothing.

    At most 6,700 multiplications modulo a number of 256 bits.
    """
    values = _integers(signature)
    if not values or not on_curve(public):
        return False
    r, s = values
    if not (0 < r < N and 0 < s < N):
        return False
    inverse = pow(s, N - 2, N)
    a, b = number(digest) * inverse % N, r * inverse % N
    base, key = (G[0], G[1], 1), (public[0], public[1], 1)
    table = (None, base, key, _add(base, key))
    total = _INFINITY
    for bit in range(255, -1, -1):
        total = _double(total)
        at = (a >> bit & 1) | (b >> bit & 1) << 1
        if at:
            total = _add(total, table[at])
    if not total[2]:
        return False
    x, zz = total[0], total[2] * total[2] % P
    return x == r * zz % P or (r + N < P and x == (r + N) * zz % P)


def _integers(der):
    # SEQUENCE { r INTEGER, s INTEGER }, in DER and in nothing else: another encoding of a signature is another signature.
    if len(der) < 8 or len(der) > 72 or der[0] != 0x30 or der[1] != len(der) - 2:
        return None
    values = []
    at = 2
    while at < len(der):
        if at + 2 > len(der) or der[at] != 2:
            return None
        start, end = at + 2, at + 2 + der[at + 1]
        value = der[start:end]
        if not value or end > len(der) or value[0] & 0x80 or (len(value) > 1 and not value[0] and not value[1] & 0x80):
            return None
        values.append(int.from_bytes(value, "big"))
        at = end
    return values if len(values) == 2 else None

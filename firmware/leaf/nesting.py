# How deeply JSON is nested, told before it is parsed: a few kilobytes of brackets take all of the heap, or the C stack.


def check(data, deepest):
    """Whether arrays and objects in data (bytes) are nested more than so many levels deep."""
    depth = 0
    text = False
    escaped = False
    for byte in data:
        if text:
            text = escaped or byte != 34
            escaped = byte == 92 and not escaped
        elif byte == 34:
            text = True
        elif byte in b"[{":
            depth += 1
            if depth > deepest:
                return True
        elif byte in b"]}":
            depth -= 1
    return False

"""``rootlet sandbox`` and ``rootlet emulate``: what runs on this computer in place of AWS and a board."""

from support.flashkit import application, board, builds, full, golden, identity, issuer, other_identity, release

__all__ = ["application", "board", "builds", "full", "golden", "identity", "issuer", "other_identity", "release"]

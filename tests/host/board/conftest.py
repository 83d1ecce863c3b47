from support.flashkit import application, board, builds, full, golden, identity, issuer, other_identity, relabelled

__all__ = ["application", "board", "builds", "full", "golden", "identity", "issuer", "other_identity", "relabelled"]

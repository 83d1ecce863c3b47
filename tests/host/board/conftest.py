from flashkit import application, board, full, golden, identity, issuer, other_identity

__all__ = ["application", "board", "full", "golden", "identity", "issuer", "other_identity"]

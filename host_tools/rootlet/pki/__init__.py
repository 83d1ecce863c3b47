"""Certificate authorities, certificate profiles, keys and signers. Knows nothing of boards or AWS."""

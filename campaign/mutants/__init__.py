"""Mutants of ``leaf``: one defect each, and the tests that must fail with it: ``python -m campaign.mutants``."""

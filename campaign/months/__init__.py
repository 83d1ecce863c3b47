"""Months of a device's life in simulated time, each life drawn from a seed: ``python -m campaign.months``."""

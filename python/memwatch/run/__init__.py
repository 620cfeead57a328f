"""Notebooks that are run with nobody looking: ``memwatch run``."""

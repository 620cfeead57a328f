"""Commands, run and measured: ``memwatch exec``."""

"""Limits that a run may not exceed."""

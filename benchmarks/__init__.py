"""What memwatch costs, how accurate it is, and what it withstands.

Each script runs from the root of the repository, for example
``python -m benchmarks.accuracy.truth --only=kept``. `make help` lists those that have a
target.
"""

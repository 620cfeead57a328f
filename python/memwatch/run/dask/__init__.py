"""Run notebooks on the workers of a Dask cluster."""

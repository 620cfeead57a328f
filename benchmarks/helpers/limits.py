"""Limits that a benchmark keeps or not."""

from __future__ import annotations

failures: list[str] = []


def limit(what: str, figure: float, most: float, unit: str) -> None:
    """Say `figure` beside the most that it may be."""
    kept = figure <= most
    text = f"{what}: {figure:.4g} {unit}, at most {most:g}"
    print(f"  {text}{'' if kept else '  <- not kept'}", flush=True)
    if not kept:
        failures.append(text)

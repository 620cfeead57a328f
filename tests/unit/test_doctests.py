"""The examples in the docstrings of the package."""

import builtins
import doctest
import importlib
import inspect
import pkgutil

import pytest

import memwatch

# Modules that need an optional library, or end the process, when they are imported.
SKIPPED = {
    "memwatch.__main__",
    "memwatch.display.figures",
    "memwatch.top.app",
    "memwatch.top.widgets",
}


@pytest.fixture(autouse=True)
def without_last_value():
    """Examples set ``builtins._``, and then IPython does not set its own `_`."""
    yield
    vars(builtins).pop("_", None)


def modules():
    for found in pkgutil.walk_packages(memwatch.__path__, "memwatch."):
        if found.name not in SKIPPED and ".run." not in found.name:
            yield found.name


@pytest.mark.parametrize("name", ["memwatch", *modules()])
def test_examples_are_right(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(str(error))
    if not inspect.isbuiltin(module):
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.testmod(module, optionflags=flags).failed == 0


def public():
    """The public names of the package, and the public methods of its classes."""
    for name in memwatch.__all__:
        found = getattr(memwatch, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            yield name, found
        if inspect.isclass(found):
            for method, function in inspect.getmembers(found, inspect.isfunction):
                if not method.startswith("_"):
                    yield f"{name}.{method}", function


# Not ours, or not called by users.
WITHOUT = {"MemwatchWarning", "History.count", "History.index", "History.renew_lock"}


@pytest.mark.parametrize("name", sorted({name for name, _ in public()} - WITHOUT))
def test_public_name_has_an_example(name):
    assert ">>>" in dict(public())[name].__doc__

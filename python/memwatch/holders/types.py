"""Types and their names, without running code of the user's.

A class can define __class__, a metaclass __name__: neither is asked here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import _lru_cache_wrapper
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

_type_attributes = type.__dict__


def type_name(value: object) -> str:
    """The name of the value's type.

    >>> type_name([])
    'list'
    """
    return str(_type_attributes["__name__"].__get__(type(value)))


def module_of_type(kind: type) -> str:
    """The name of the module that defines the type; "" if it has none.

    >>> module_of_type(dict)
    'builtins'
    """
    name = _type_attributes["__module__"].__get__(kind)
    return name if type(name) is str else ""


def mro_of(value: object) -> tuple[type, ...]:
    """The classes of the value, the first its own."""
    mro: tuple[type, ...] = _type_attributes["__mro__"].__get__(type(value))
    return mro


def is_a(value: object, kinds: type | tuple[type, ...]) -> bool:
    """isinstance() by the value's real type.

    >>> is_a(True, int)
    True
    """
    wanted = kinds if type(kinds) is tuple else (kinds,)
    # By identity: a metaclass may define __eq__ and __hash__.
    return any(each is kind for each in mro_of(value) for kind in wanted)


def is_exactly(value: object, *kinds: type) -> bool:
    """Whether the value's type is one of `kinds`.

    >>> is_exactly(True, int, str)
    False
    """
    return any(type(value) is kind for kind in kinds)


def namespace_of(kind: type) -> dict[str, Any]:
    """A copy of the attributes of a class itself."""
    return dict(_type_attributes["__dict__"].__get__(kind))


def is_module(value: object) -> bool:
    """Whether it is a module."""
    return is_a(value, ModuleType)


def home_of(value: object) -> str | None:
    """The module of a class or a callable, "builtins" if unknown; None: another value.

    >>> home_of(len), home_of(str.upper), home_of(1)
    ('builtins', 'builtins', None)
    """
    if is_a(value, type):
        return module_of_type(value)  # type: ignore[arg-type]
    if not is_a(value, _CALLABLES):
        return None
    try:
        name = object.__getattribute__(value, "__module__")
    except AttributeError:
        name = None
    return name if type(name) is str else "builtins"


_CALLABLES = (
    FunctionType,
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    WrapperDescriptorType,
    _lru_cache_wrapper,
)


def same_types(values: Iterable[object]) -> str | None:
    """The name of the type that all values have; None: they differ, or are none."""
    kinds = {id(type(each)): each for each in values}
    return type_name(next(iter(kinds.values()))) if len(kinds) == 1 else None

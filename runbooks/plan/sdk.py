"""What the installed provider packages declare, by Pulumi's tokens."""

import gc
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

PROVIDERS = "pulumi:providers:"


@contextmanager
def importing() -> Iterator[None]:
    """Let a provider's modules be imported: with one class come its neighbours, of which the deprecated ones warn."""
    collects = gc.isenabled()
    # A third of the time would go into looking for garbage among modules that stay.
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_\w+\.")
            yield
    finally:
        if collects:
            gc.enable()


@cache
def resource_class(type_: str) -> Any:
    """The class of a resource type such as gcp:sql/databaseInstance:DatabaseInstance; None when there is none."""
    if type_.startswith(PROVIDERS):
        return _find(type_.removeprefix(PROVIDERS), "", "Provider")
    package, module, name = _parts(type_)
    return _find(package, module, name)


@cache
def args_class(type_: str) -> Any:
    """The class of a resource's inputs; None when there is none."""
    if type_.startswith(PROVIDERS):
        return _find(type_.removeprefix(PROVIDERS), "", "ProviderArgs")
    package, module, name = _parts(type_)
    # InitArgs where a nested input has taken the other name.
    return _find(package, module, f"{name}InitArgs") or _find(package, module, f"{name}Args")


@cache
def answer_class(token: str) -> Any:
    """The class of what a function answers; None when there is none."""
    package, module, name = _parts(token)
    return _find(package, module, f"{name}Result")


def _parts(token: str) -> tuple[str, str, str]:
    package, module, name = token.split(":")
    # One token of the SDK is in small letters; the class is not.
    return package, module.split("/")[0], name[:1].upper() + name[1:]


def _find(package: str, module: str, name: str) -> Any:
    path = f"pulumi_{package.replace('-', '_')}"
    if module and module != "index":
        path = f"{path}.{module}"
    # The modules are lazy: reading a name is what imports them.
    with importing():
        try:
            return getattr(importlib.import_module(path), name, None)
        except ModuleNotFoundError:
            return None

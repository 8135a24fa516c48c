"""The registry of dialects: one folder per gateway.

Other packages add gateways through the entry-point group ``wonder_customers.dialects``. The name of an entry is the
gateway's name, and its value is the package of the dialect. Such a package provides:

* ``ACCOUNT``: the account class, an attrs class that implements `wonder_customers.dialects.base.Account` and has the
  class method ``from_environment()``;
* optionally a module ``checks``, for `wonder_customers.probing` (see `wonder_customers.dialects.checks`);
* a module ``simulator`` with ``SIMULATOR``, the class of the simulated gateway (see `wonder_customers.simulator`);
* for `wonder_customers.testing`: a module ``codec`` with ``read_customer``, ``write_customer`` and, for payment tokens,
  ``read_token`` and ``write_token``; and the gateway's documented responses in the folder ``golden``.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from wonder_customers.errors import ConfigurationError, needed

GROUP = "wonder_customers.dialects"

__all__ = ["names", "package", "simulator"]


@cache
def _packages() -> dict[str, str]:
    """Return the import name of each dialect's package, by gateway."""
    # Imported here, because these modules load slowly, and a session that is given an account does not need them.
    import pkgutil  # noqa: PLC0415
    from importlib.metadata import entry_points  # noqa: PLC0415

    own = {entry.name: f"{__name__}.{entry.name}" for entry in pkgutil.iter_modules(__path__) if entry.ispkg}
    return own | {entry.name: entry.value for entry in entry_points(group=GROUP) if entry.name not in own}


def names() -> tuple[str, ...]:
    """Return the names of all installed gateways."""
    return tuple(_packages())


def package(name: str) -> ModuleType:
    """Return the package of the dialect with this name.

    Raises:
        ConfigurationError: No dialect has this name.
    """
    try:
        return import_module(_packages()[name])
    except KeyError:
        known = ", ".join(names())
        raise ConfigurationError(f"unknown gateway {name!r}; the installed gateways are {known}") from None


def simulator(name: str) -> Any:
    """Return the class of the simulated gateway with this name.

    Raises:
        ConfigurationError: No dialect has this name.
        MissingExtraError: The packages of the simulator are not installed.
    """
    with needed("cli", "starlette", "uvicorn", by="the simulator"):
        module = import_module(f"{package(name).__name__}.simulator")
    return module.SIMULATOR

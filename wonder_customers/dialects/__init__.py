"""The registry of dialects: one folder here per gateway, found by listing.

Other packages add a gateway through the entry-point group ``wonder_customers.dialects``: the entry's name is the
gateway's name, its value the package that holds the dialect. A dialect's package offers

* ``ACCOUNT``: the account class (credentials and base URL) with its ``dialect()`` method and ``from_environment()``;
* a module ``simulator`` with a ``Simulator`` class, the gateway's stand-in (see `wonder_customers.simulator`);
* for `wonder_customers.testing`: a module ``codec`` with ``read_customer`` and its inverse ``customer_reply``, and
  the gateway's documented answers as ``golden/*_response.json``.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

from wonder_customers.errors import ConfigurationError, needed

GROUP = "wonder_customers.dialects"

__all__ = ["names", "package", "simulator"]


@cache
def _packages() -> dict[str, str]:
    """The importable name of each dialect's package, the shipped ones first."""
    # Loading these takes longer than all of the dialects, and a session that is given its account never asks.
    import pkgutil  # noqa: PLC0415
    from importlib.metadata import entry_points  # noqa: PLC0415

    shipped = {entry.name: f"{__name__}.{entry.name}" for entry in pkgutil.iter_modules(__path__) if entry.ispkg}
    return shipped | {entry.name: entry.value for entry in entry_points(group=GROUP) if entry.name not in shipped}


def names() -> tuple[str, ...]:
    """The names of all gateways that are installed, shipped ones and those of other packages."""
    return tuple(_packages())


def package(name: str) -> ModuleType:
    """The package of the dialect called `name`.

    Raises:
        ConfigurationError: No dialect has that name.
    """
    try:
        return import_module(_packages()[name])
    except KeyError:
        known = ", ".join(names())
        raise ConfigurationError(f"no gateway is called {name!r}; known are {known}") from None


def simulator(name: str) -> type:
    """The `Simulator` class of the dialect called `name`: its stand-in for the gateway.

    Raises:
        ConfigurationError: No dialect has that name.
        MissingExtraError: The simulator's packages are not installed.
    """
    with needed("cli", "starlette", "uvicorn", by="the simulator"):
        module = import_module(f"{package(name).__name__}.simulator")
    found: type = module.Simulator
    return found

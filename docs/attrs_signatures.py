"""Shows attrs classes in the reference with the parameters that attrs gives them, which griffe does not know of."""

import inspect
from importlib import import_module
from types import FunctionType
from typing import Any

import attrs
import griffe

from wonder_customers import ConfigurationError

_KINDS: dict[Any, griffe.ParameterKind] = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
}


class AttrsSignatures(griffe.Extension):
    """Gives attrs classes the ``__init__`` that they have at run time."""

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Add the parameters to a class that was just found."""
        made = {str(it.value).partition("(")[0] for it in cls.decorators}
        if "__init__" in cls.members or not made & {"frozen", "define"}:
            return
        try:
            kind = getattr(import_module(cls.module.path), cls.name)
        except (ImportError, ConfigurationError):
            # An optional part that is not installed here.
            return
        defaults = {it.alias: it.default for it in attrs.fields(kind)}
        parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
        for name, found in list(inspect.signature(kind.__init__).parameters.items())[1:]:
            member = cls.members.get(name) or cls.members.get(f"_{name}")
            annotation = member.annotation if isinstance(member, griffe.Attribute) else None
            parameters.append(
                griffe.Parameter(name, kind=_KINDS[found.kind], annotation=annotation, default=_shown(defaults[name]))
            )
        init = griffe.Function("__init__", parent=cls, parameters=griffe.Parameters(*parameters), returns="None")
        cls.set_member("__init__", init)


def _shown(default: object) -> str | None:
    """A default as the signature shows it; None for a parameter without one."""
    if default is attrs.NOTHING:
        return None
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a function to type checkers, a class at run time
        return f"{default.factory.__name__}()"  # type: ignore[attr-defined]
    # The repr of a function contains its address.
    return default.__name__ if isinstance(default, FunctionType) else repr(default)

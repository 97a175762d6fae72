"""What pydantic found wrong, in one line and without any value of the document: parameters and keys may be confidential. Pure."""

from pydantic import ValidationError

__all__ = ["problems"]


def problems(error: ValidationError, *, most: int = 1, separator: str = "/", whole: str = "") -> str:
    """``place: problem`` of the first problems, joined by ``; ``.

    Args:
        error: pydantic's.
        most: how many are told.
        separator: between the parts of a place.
        whole: what the place is called that is the whole document; without a name it is left out.
    """
    told = []
    for item in error.errors(include_input=False, include_url=False, include_context=False)[:most]:
        place = separator.join(map(str, item["loc"])) or whole
        told.append(f"{place}: {item['msg']}" if place else item["msg"])
    return "; ".join(told)

"""``NbSchemaBase``, so that notebooks which define their models on it can be imported and save them."""

from pydantic import BaseModel

__all__ = ["NbSchemaBase"]


class NbSchemaBase(BaseModel):
    """A pydantic model. Instances can be saved with ``save_output``.

    A parameter whose schema has the name of such a class as its ``title``, as that of a model in ``models/`` has, comes as an instance,
    where the class is defined or imported in the cell tagged ``parameters`` or above it.
    """

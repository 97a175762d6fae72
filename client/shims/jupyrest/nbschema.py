"""``NbSchemaBase``, so that notebooks which define their models on it can be imported and save them."""

from pydantic import BaseModel

__all__ = ["NbSchemaBase"]


class NbSchemaBase(BaseModel):
    """A pydantic model. Instances can be saved with ``save_output``.

    jupyrest also turns parameters into instances of registered models; here parameters stay what JSON makes of them: lists
    and dicts. ``Model.model_validate(parameter)`` makes the instance.
    """

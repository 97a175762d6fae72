"""How a caller wants a notebook run, in the words of the NotebookExecution's own fields."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from podbook_core.execution.model import InputFile, Outputs, Spec
from podbook_core.text.names import LABEL_KEY, LABEL_KEY_LENGTH, LABEL_VALUE, LABEL_VALUE_LENGTH

__all__ = ["ExecutionOptions", "Resource"]

# Only described here: the submission checks them for every door, and names the label in words.
LabelKey = Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^{LABEL_KEY}$", "maxLength": LABEL_KEY_LENGTH})]
LabelValue = Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^{LABEL_VALUE}$", "maxLength": LABEL_VALUE_LENGTH})]


class Resource(BaseModel):
    """Base: camelCase outside, snake_case inside, unknown members refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class ExecutionOptions(Resource):
    """How to run a notebook. What is absent comes from the contract, then from the profile."""

    version: Annotated[
        str | None, Field(pattern=r"^[0-9a-f]{64}$", description="Version of the notebook; the current one when absent.")
    ] = None
    profile: Annotated[
        str | None, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", max_length=63, description="Profile to run on.")
    ] = None
    timeout_seconds: Annotated[int | None, Field(ge=1, le=259200, description="Maximum run time.")] = None
    queue_timeout_seconds: Annotated[int | None, Field(ge=1, le=604800, description="Maximum wait for a free slot.")] = None
    start_timeout_seconds: Annotated[int | None, Field(ge=1, le=3600, description="Maximum wait for the pod to start.")] = None
    retries: Annotated[int | None, Field(ge=0, le=4, description="Further attempts after a platform fault.")] = None
    ttl_seconds_after_finished: Annotated[
        int | None, Field(ge=0, le=2592000, description="How long the custom resource is kept after the execution ends.")
    ] = None
    outputs: Annotated[Outputs, Field(description="Which pages are rendered.")] = Outputs()
    labels: Annotated[
        dict[LabelKey, LabelValue], Field(max_length=32, description="Labels (as in Kubernetes) to find the execution by.")
    ] = {}

    def spec(self, notebook: str, parameters: dict[str, Any], inputs: Sequence[InputFile] = ()) -> Spec:
        """The specification of a run of a notebook with these options."""
        raw = self.model_dump(include=set(ExecutionOptions.model_fields) - {"version", "labels"})
        reference = {"name": notebook, "version": self.version}
        return Spec.model_validate({**raw, "notebook": reference, "parameters": parameters, "inputs": list(inputs)})

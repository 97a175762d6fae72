"""Small notebooks that each do one thing, published once for all tests. They need nothing but the lean runner image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.notebook_file import PYTHON, code_cell, markdown_cell, notebook_document

__all__ = ["SAMPLES", "Sample"]


@dataclass(frozen=True)
class Sample:
    """A notebook as a script whose cells begin with ``# %%``: ``# %% parameters`` the cell of parameters, ``# %% markdown`` one of text."""

    script: str
    contract: Mapping[str, Any] = field(default_factory=dict)
    kernel: str = "python3"
    language: str = "python"

    def ipynb(self) -> bytes:
        """The notebook file."""
        cells = []
        for text in self.script.split("# %%")[1:]:
            tag, _, source = text.partition("\n")
            if tag.strip() == "markdown":
                cells.append(markdown_cell(source.strip()))
            else:
                cells.append(code_cell(source.strip(), *tag.split()))
        kernelspec = {**PYTHON["kernelspec"], "name": self.kernel, "language": self.language}
        return json.dumps(notebook_document(cells, {"kernelspec": kernelspec})).encode()


def _object(required: tuple[str, ...] = (), **properties: str) -> dict[str, Any]:
    """Schema of an object by the types of its members."""
    members = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": members, "required": list(required), "additionalProperties": False}


SAMPLES: Mapping[str, Sample] = {
    "quick": Sample(
        """
# %% parameters
number = 1
# %%
from podbook import save_output
save_output({"doubled": 2 * number})
""",
        {"input": _object(("number",), number="integer"), "output": _object(("doubled",), doubled="integer")},
    ),
    "free": Sample(
        """
# %%
from podbook import save_output
save_output("as you like it")
"""
    ),
    "raising": Sample(
        """
# %%
revenue = {}
# %%
revenue["contoso"]
"""
    ),
    "exiting": Sample(
        """
# %%
import os
os._exit(3)
"""
    ),
    "hungry": Sample(
        """
# %%
print("eating")
# %%
plates = []
while True:
    plates.append(b"x" * (8 << 20))
"""
    ),
    "endless": Sample(
        """
# %%
print("round and round")
# %%
while True:
    pass
"""
    ),
    "breaking": Sample(
        """
# %%
from podbook import save_output
save_output({"total": "many"})
""",
        {"output": _object(("total",), total="number")},
    ),
    "foreign": Sample(
        """
# %%
print("nuqneH")
""",
        kernel="klingon",
        language="klingon",
    ),
    "elsewhere": Sample(
        """
# %%
from podbook import save_output
save_output({"ran": True})
""",
        kernel="conda-env-elsewhere-py",
    ),
    # Jupyter shows a broken picture; nbconvert gives up on the whole page.
    "torn": Sample(
        """
# %% markdown
![The picture was never attached](attachment:nowhere.png)
# %%
print("ran all the same")
"""
    ),
    "sleeping": Sample(
        """
# %% parameters
seconds = 1
# %%
print("begun")
# %%
import time
time.sleep(seconds)
# %%
from podbook import save_output
save_output({"slept": seconds})
""",
        {"input": _object(seconds="number")},
    ),
    "writing": Sample(
        """
# %% parameters
files = 1
mebibytes = 1
# %%
import os, pathlib
folder = pathlib.Path(os.environ["PODBOOK_OUTPUT_DIR"])
for number in range(files):
    (folder / f"{number:03}.bin").write_bytes(os.urandom(1 << 20) * mebibytes)
# %%
from podbook import save_output
save_output({"files": files})
""",
        {"input": _object(files="integer", mebibytes="integer")},
    ),
    # What a run can see of others and of the cluster. It leaves a mark wherever it can write.
    "looking": Sample(
        """
# %%
import os, pathlib, socket

def names(folder):
    return sorted(str(path) for path in pathlib.Path(folder).rglob("*"))

def writable(folder):
    try:
        pathlib.Path(folder, "mark").write_text("")
    except OSError:
        return False
    return True

token = pathlib.Path("/var/run/secrets")
seen = {
    "host": socket.gethostname(),
    "environment": dict(os.environ),
    "files": names("/tmp") + names("."),
    "token": names(token) if token.exists() else [],
    "writable": [folder for folder in ("/", "/etc", "/opt/podbook", "/usr") if writable(folder)],
}
# %%
mark = f"mark-{socket.gethostname()}"
os.environ["MARK"] = mark
pathlib.Path("/tmp", mark).write_text(mark)
pathlib.Path(mark).write_text(mark)
# %%
from podbook import save_output
save_output(seen)
"""
    ),
    # Knocks at doors that the NetworkPolicy closes: the API's Service, the Kubernetes API and the metadata service.
    "reaching": Sample(
        """
# %% parameters
address = ""
# %%
import os, socket
doors = [(address, 80), ("169.254.169.254", 80), (os.environ.get("KUBERNETES_SERVICE_HOST", "10.96.0.1"), 443)]
reached = []
for door in doors:
    try:
        socket.create_connection(door, timeout=3).close()
        reached.append(door[0])
    except OSError:
        pass
# %%
from podbook import save_output
save_output({"reached": reached})
""",
        {"input": _object(address="string")},
    ),
    # Takes the signed access it was started with and says it aloud; the digest proves that it had it in its hands.
    "leaking": Sample(
        """
# %%
import hashlib, json, pathlib
task = json.loads(pathlib.Path("/etc/podbook/task.json").read_text())
signature = next(value for name, value in task["destination"]["fields"].items() if name.lower() == "x-amz-signature")
print(json.dumps(task))
# %%
said = {"digest": hashlib.sha256(signature.encode()).hexdigest(), "signature": signature, "url": task["notebook"]["url"]}
said
# %%
from podbook import save_output
save_output(said)
# %%
raise RuntimeError("signed with " + signature)
"""
    ),
}
"""By the name they are published under."""

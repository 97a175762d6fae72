"""Where every object lives in the store. The same keys in a bucket and in a directory; an interface, so they do not change."""

__all__ = [
    "attempt_prefix",
    "attempts_prefix",
    "current_key",
    "execution_prefix",
    "idempotency_key",
    "input_key",
    "name_key",
    "notebook_prefix",
    "parse_execution_key",
    "record_key",
    "request_key",
    "result_key",
    "version_prefix",
]

NOTEBOOKS = "notebooks/"
EXECUTIONS = "executions/"
INPUTS = "inputs/"
REQUESTS = "requests/"
NAMES = "names/"
INDEX = "index/"
IDEMPOTENCY = "idempotency/"

NOTEBOOK_FILE = "notebook.ipynb"
HTML_FILE = "report.html"
REPORT_FILE = "report-no-input.html"
OUTPUT_FILE = "output.json"
RESPONSE_FILE = "response.json"
RESPONSE_BODY_FILE = "response"
LOG_FILE = "log.txt"
PROGRESS_FILE = "progress.json"
FILES_FOLDER = "files/"
RESULT_FILE = "result.json"
RECORD_FILE = "record.json"


def notebook_prefix(name: str) -> str:
    """Everything of one notebook."""
    return f"{NOTEBOOKS}{name}/"


def current_key(name: str) -> str:
    """The pointer to a notebook's published version."""
    return f"{NOTEBOOKS}{name}/current.json"


def version_prefix(name: str, version: str) -> str:
    """The immutable files of one version: manifest.json, notebook.ipynb, contract.json, assets.tar."""
    return f"{NOTEBOOKS}{name}/versions/{version}/"


def input_key(sha256: str) -> str:
    """An uploaded input file, named by its content."""
    return f"{INPUTS}{sha256}"


def request_key(sha256: str) -> str:
    """What an HTTP request said to a notebook, named by its content."""
    return f"{REQUESTS}{sha256}"


def execution_prefix(uid: str) -> str:
    """Everything of one execution."""
    return f"{EXECUTIONS}{uid}/"


def parse_execution_key(key: str) -> tuple[str, str] | None:
    """The uid of the execution that an object belongs to, and the rest of its key; None for a key of something else."""
    uid, slash, rest = key.removeprefix(EXECUTIONS).partition("/")
    return (uid, rest) if slash and key.startswith(EXECUTIONS) else None


def attempts_prefix(uid: str) -> str:
    """What the attempts of an execution may write: the whole of their write access."""
    return f"{EXECUTIONS}{uid}/attempts/"


def attempt_prefix(uid: str, attempt: str) -> str:
    """What one attempt wrote."""
    return f"{EXECUTIONS}{uid}/attempts/{attempt}/"


def result_key(uid: str, attempt: str) -> str:
    """The manifest of one attempt, written last."""
    return f"{attempt_prefix(uid, attempt)}{RESULT_FILE}"


def record_key(uid: str) -> str:
    """The record: written once, the commit point of an execution."""
    return f"{EXECUTIONS}{uid}/{RECORD_FILE}"


def name_key(name: str) -> str:
    """The newest uid of an execution's name."""
    return f"{NAMES}{name}.json"


def idempotency_key(digest: str) -> str:
    """What a caller's idempotency key stands for."""
    return f"{IDEMPOTENCY}{digest}"
